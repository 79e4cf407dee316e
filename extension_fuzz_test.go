package ttrpc

import (
	"bytes"
	"math"
	"reflect"
	"testing"

	"github.com/containerd/ttrpc/internal/frame"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
)

// The library decodes and encodes the messages of the extensions by hand. These tests compare
// that with the protobuf runtime, as envelope_fuzz_test.go does for the envelope.

const minMessageLimit = frame.MinLimit

// extensionMessages describes the messages as PROTOCOL.md does.
var extensionMessages = func() protoreflect.MessageDescriptors {
	field := func(number int32, name string, typ descriptorpb.FieldDescriptorProto_Type) *descriptorpb.FieldDescriptorProto {
		return &descriptorpb.FieldDescriptorProto{
			Name: &name, Number: &number, Type: typ.Enum(),
			Label: descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum(),
		}
	}
	const (
		u32     = descriptorpb.FieldDescriptorProto_TYPE_UINT32
		u64     = descriptorpb.FieldDescriptorProto_TYPE_UINT64
		str     = descriptorpb.FieldDescriptorProto_TYPE_STRING
		message = descriptorpb.FieldDescriptorProto_TYPE_MESSAGE
	)
	pairs := field(3, "metadata", message)
	pairs.TypeName = proto.String(".KeyValue")
	pairs.Label = descriptorpb.FieldDescriptorProto_LABEL_REPEATED.Enum()
	file, err := protodesc.NewFile(&descriptorpb.FileDescriptorProto{
		Name:   proto.String("extensions.proto"),
		Syntax: proto.String("proto3"),
		MessageType: []*descriptorpb.DescriptorProto{
			{
				Name: proto.String("Settings"),
				Field: []*descriptorpb.FieldDescriptorProto{
					field(1, "version", u32), field(2, "features", u64), field(3, "max_message", u32), field(4, "window", u32),
				},
			},
			{
				Name:  proto.String("ResponseMetadata"),
				Field: []*descriptorpb.FieldDescriptorProto{field(1, "id", u32), field(2, "kind", u32), pairs},
			},
			{
				Name:  proto.String("KeyValue"),
				Field: []*descriptorpb.FieldDescriptorProto{field(1, "key", str), field(2, "value", str)},
			},
		},
	}, nil)
	if err != nil {
		panic(err)
	}
	return file.Messages()
}()

// dynamicMessage is a message that the runtime knows only by its description.
type dynamicMessage struct{ *dynamicpb.Message }

func newDynamic(name protoreflect.Name) dynamicMessage {
	return dynamicMessage{dynamicpb.NewMessage(extensionMessages.ByName(name))}
}

func (m dynamicMessage) get(number protoreflect.FieldNumber) protoreflect.Value {
	return m.Get(m.Descriptor().Fields().ByNumber(number))
}

// uint returns the value of a numeric field.
func (m dynamicMessage) uint(number protoreflect.FieldNumber) uint64 { return m.get(number).Uint() }

// marshal encodes the message without unknown fields.
func (m dynamicMessage) marshal(t testing.TB) []byte {
	t.Helper()
	m.SetUnknown(nil)
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m.Message)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func FuzzSettings(f *testing.F) {
	for _, s := range []settings{
		{},
		{version: 1},
		{version: 1, features: 0x1f, maxMessage: defaultMaxMessageLength, window: 2 << 20},
		{version: math.MaxUint32, features: math.MaxUint64, maxMessage: math.MaxUint32, window: math.MaxUint32},
	} {
		b := s.append(nil)
		f.Add(b)
		f.Add(append(b, b...))
		f.Add(append(bytes.Clone(b), 0x7a, 2, 'u', 'n')) // an unknown field
		f.Add(append(bytes.Clone(b), 0x08, 0))           // a version that is taken back
		if len(b) > 1 {
			f.Add(b[:len(b)-1])
		}
	}
	for _, b := range []string{
		"\x0a\x01x",                         // a version that is a string
		"\x08\x01\x0a\x00",                  // and such a one after a version
		"\x0d\x01\x00\x00\x00",              // and one of 32 bits
		"\x08\xff\xff\xff\xff\xff\x7f",      // and one that is longer than that
		"\x08\x80\x80\x80\x80\x10",          // whose lower 32 bits are 0
		"\x08\x01\x1b\x08\x01\x1c",          // a group
		"\x08\x01\x00",                      // field 0
		"\x08\x01\x82\x80\x80\x80\x10\x00",  // a field number too high
		"\x08\x01\x10\xff\xff\xff\xff\xff",  // features that are cut off
		"\x08\x01\xc2\x3e\x02\x08\x02\x10a", // an offer within an offer
	} {
		f.Add([]byte(b))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		want := newDynamic("Settings")
		wantErr := proto.Unmarshal(b, want.Message)
		got, ok := parseSettings(b)
		if wantOK := wantErr == nil && want.uint(1) != 0; ok != wantOK {
			t.Fatalf("decoding: got %v, %v; the runtime says %v, %v", got, ok, want, wantErr)
		}
		if !ok {
			if got != (settings{}) {
				t.Fatalf("what is none has the value %+v", got)
			}
			return
		}
		if fields := (settings{uint32(want.uint(1)), features(want.uint(2)), uint32(want.uint(3)), uint32(want.uint(4))}); got != fields {
			t.Fatalf("decoding: got %v, want %v", got, fields)
		}
		if limit := got.messageLimit(); limit < minMessageLimit || limit > maxMessageLengthLimit {
			t.Fatalf("a maximum of %d counts as %d", got.maxMessage, limit)
		}

		encoded := want.marshal(t)
		if again := got.append(nil); !bytes.Equal(again, encoded) || len(again) != got.size() {
			t.Fatalf("encoding: got %q, announced as %d bytes, want %q", again, got.size(), encoded)
		}
		checkExtensionFrame(t, settingsFrame(got), header{typ: messageTypeSettings}, encoded)

		// In a request the runtime keeps the offer as an unknown field.
		offer := got.appendOffer(nil)
		if len(offer) != got.sizeOffer() {
			t.Fatalf("the offer has %d bytes, announced as %d", len(offer), got.sizeOffer())
		}
		num, typ, n := protowire.ConsumeTag(offer)
		if body, m := protowire.ConsumeBytes(offer[n:]); num != 1000 || typ != protowire.BytesType || !bytes.Equal(body, encoded) || n+m != len(offer) {
			t.Fatalf("the offer is %q, want %q in field 1000", offer, encoded)
		}
	})
}

// checkExtensionFrame compares a frame with its header and payload, and releases it. The
// length in the header is that of the payload.
func checkExtensionFrame(t testing.TB, frame *buffer, h header, payload []byte) {
	t.Helper()
	defer frame.release()
	h.length = uint32(len(payload))
	got := parseHeader(frame.b)
	if got != h || !bytes.Equal(frame.b[headerLength:], payload) {
		t.Fatalf("got the frame %v: %q\nwant %v: %q", got, frame.b[headerLength:], h, payload)
	}
	if !got.isExtension() {
		t.Fatalf("%v is not an extension's frame", got)
	}
}

func FuzzResponseMetadata(f *testing.F) {
	for _, md := range []MD{{}, {"k": {"v", "w"}}, {"": {""}}, {"K": {"\u00e9"}}} {
		for _, kind := range []metadataKind{metadataHeader, metadataTrailer, 2} {
			frame, err := metadataFrame(math.MaxUint32, kind, md)
			if err != nil {
				f.Fatal(err)
			}
			b := bytes.Clone(frame.b[headerLength:])
			frame.release()
			f.Add(b)
			f.Add(append(b, b...))
			f.Add(append(bytes.Clone(b), 0x7a, 2, 'u', 'n'))
			f.Add(b[:len(b)-1])
		}
	}
	for _, b := range []string{
		"\x1a\x04\x0a\x02\xc3\x28",               // a key that is not UTF-8
		"\x1a\x04\x12\x02\xc3\x28",               // a value that is not
		"\x1a\x04\x0a\x02\xc3\x28\x08",           // and a frame that is cut off
		"\x1a\x00\x08\x07",                       // pairs before the id
		"\x0a\x01x\x12\x01x\x18\x01",             // fields of other types
		"\x1a\x03\x1b\x08\x01",                   // a group without an end
		"\x08\x80\x80\x80\x80\x10",               // an id of more than 32 bits
		"\x1a\x06\x0a\x01a\x0a\x01b\x1a\x02\x12", // a pair that is cut off
	} {
		f.Add([]byte(b))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		want := newDynamic("ResponseMetadata")
		wantErr := proto.Unmarshal(b, want.Message)
		var all metadataCollector
		view, err := parseResponseMetadata(b)
		if err == nil {
			err = view.pairs(&all, 1<<30)
		}
		if (err == nil) != (wantErr == nil) {
			t.Fatalf("decoding: got error %v, the runtime says %v", err, wantErr)
		}
		if err != nil {
			return
		}
		if uint64(view.id) != want.uint(1) || uint64(view.kind) != want.uint(2) {
			t.Fatalf("decoding: got id %d and kind %d, want %v", view.id, view.kind, want)
		}
		md, size := MD{}, 0
		for list, i := want.get(3).List(), 0; i < list.Len(); i++ {
			pair := list.Get(i).Message()
			fields := pair.Descriptor().Fields()
			key, value := pair.Get(fields.ByNumber(1)).String(), pair.Get(fields.ByNumber(2)).String()
			md.Append(key, value)
			size += len(key) + len(value) + metadataOverhead
		}
		if len(md) == 0 {
			md = nil
		}
		if !reflect.DeepEqual(all.metadata, md) || all.metadataSize != size {
			t.Fatalf("decoding: got %v (%d bytes), want %v (%d bytes)", all.metadata, all.metadataSize, md, size)
		}

		// A second frame for the call counts with the first.
		limited := metadataCollector{metadataSize: 60}
		if err := view.pairs(&limited, 1000); err != nil || limited.metadataSize != size+60 {
			t.Fatalf("after 60 bytes of metadata, %d more count as %d: %v", size, limited.metadataSize, err)
		}
		checkMetadataFrame(t, view.id, view.kind, md)
	})
}

// FuzzMetadataFrame encodes any metadata of a handler, valid or not.
func FuzzMetadataFrame(f *testing.F) {
	f.Add(uint32(1), uint32(0), "key", "value", "other")
	f.Add(uint32(math.MaxUint32), uint32(1), "", "", "")
	f.Add(uint32(3), uint32(1), "\xff", "", "")
	f.Add(uint32(3), uint32(0), "", "\xff", "x")
	f.Fuzz(func(t *testing.T, id, kind uint32, key, value, other string) {
		checkMetadataFrame(t, streamID(id), metadataKind(kind), MD{key: {value, other, value}})
		checkMetadataFrame(t, streamID(id), metadataKind(kind), MD{key: {value}, other: {}})
	})
}

// checkMetadataFrame decodes a frame of md with the runtime.
func checkMetadataFrame(t *testing.T, id streamID, kind metadataKind, md MD) {
	t.Helper()
	model := newDynamic("ResponseMetadata")
	fields := model.Descriptor().Fields()
	model.Set(fields.ByNumber(1), protoreflect.ValueOfUint32(uint32(id)))
	model.Set(fields.ByNumber(2), protoreflect.ValueOfUint32(uint32(kind)))
	list := model.Mutable(fields.ByNumber(3)).List()
	for key, values := range md {
		for _, value := range values {
			pair := list.AppendMutable().Message()
			pair.Set(pair.Descriptor().Fields().ByNumber(1), protoreflect.ValueOfString(key))
			pair.Set(pair.Descriptor().Fields().ByNumber(2), protoreflect.ValueOfString(value))
		}
	}
	want, wantErr := proto.MarshalOptions{Deterministic: true}.Marshal(model.Message)
	frame, err := metadataFrame(id, kind, md)
	if (err == nil) != (wantErr == nil) {
		t.Fatalf("encoding %v: got error %v, the runtime says %v", md, err, wantErr)
	}
	if err != nil {
		return
	}
	defer frame.release()
	payload := frame.b[headerLength:]
	if h := parseHeader(frame.b); h != (header{typ: messageTypeMetadata, length: uint32(len(payload))}) {
		t.Fatalf("the header is %v, before %d bytes", h, len(payload))
	}
	again := newDynamic("ResponseMetadata")
	if err := proto.Unmarshal(payload, again.Message); err != nil {
		t.Fatalf("encoding %v: the runtime says %v", md, err)
	}
	// The order of keys has no meaning.
	if len(md) < 2 && id != 0 && !bytes.Equal(payload, want) {
		t.Fatalf("encoding %v:\n got %q\nwant %q", md, payload, want)
	}
	var got metadataCollector
	view, err := parseResponseMetadata(payload)
	if err == nil {
		err = view.pairs(&got, 1<<30)
	}
	folded := MD{}
	for key, values := range md {
		folded.Append(key, values...)
	}
	if err != nil || view.id != id || view.kind != kind || len(folded) > 0 && !sameValues(got.metadata, folded) {
		t.Fatalf("the way of %v and back: got %v, id %d, %v, %v", folded, got.metadata, view.id, view.kind, err)
	}
}

// sameValues reports whether a and b have the same values for each key. The values of keys
// that fold to the same key may come in any order.
func sameValues(a, b MD) bool {
	if len(a) != len(b) {
		return false
	}
	for key, values := range a {
		counts := map[string]int{}
		for _, value := range values {
			counts[value]++
		}
		for _, value := range b[key] {
			counts[value]--
		}
		for _, n := range counts {
			if n != 0 {
				return false
			}
		}
	}
	return true
}

// FuzzExtensionFrames parses any payload as the frames of fixed length. Encoding a result
// gives the bytes that were parsed.
func FuzzExtensionFrames(f *testing.F) {
	for n := 0; n <= 14; n++ {
		f.Add(bytes.Repeat([]byte{0xff}, n))
		f.Add(bytes.Repeat([]byte{'a'}, n))
	}
	f.Add([]byte("\x00\x00\x00\x05\x00\x00\x00\x01"))
	f.Add([]byte("\x00\x00\x00\x05\x00\x00\x00\x00a text \xff with a hole"))
	f.Add(append([]byte("\x00\x00\x00\x05\x00\x00\x00\x00"), bytes.Repeat([]byte("\u00e9"), maxGoawayText)...))
	f.Add(append([]byte("\x00\x00\x00\x05\x00\x00\x00\x00x"), bytes.Repeat([]byte("\u00e9"), maxGoawayText)...))
	f.Fuzz(func(t *testing.T, b []byte) {
		if c, ok := parseCancellation(b); ok != (len(b) >= 8) {
			t.Fatalf("a cancel frame of %d bytes: %v", len(b), ok)
		} else if ok {
			checkExtensionFrame(t, c.frame(), header{typ: messageTypeCancel}, b[:8])
		}
		if w, ok := parseWindowUpdate(b); ok != (len(b) >= 12) {
			t.Fatalf("a window frame of %d bytes: %v", len(b), ok)
		} else if ok {
			checkExtensionFrame(t, w.frame(), header{typ: messageTypeWindow}, b[:12])
		}
		if p, ok := parsePing(b); ok != (len(b) >= 8) {
			t.Fatalf("a ping of %d bytes: %v", len(b), ok)
		} else if ok {
			checkExtensionFrame(t, p.frame(messageTypePong), header{typ: messageTypePong}, b[:8])
		}
		g, ok := parseGoaway(b)
		if ok != (len(b) >= 8) {
			t.Fatalf("a goaway frame of %d bytes: %v", len(b), ok)
		}
		if ok {
			if len(g.text) > maxGoawayText || len(g.text) > len(b)-8 {
				t.Fatalf("%d bytes became a text of %d", len(b), len(g.text))
			}
			checkExtensionFrame(t, g.frame(), header{typ: messageTypeGoaway}, append(bytes.Clone(b[:8]), g.text...))
		}
	})
}
