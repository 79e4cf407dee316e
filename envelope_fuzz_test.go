package ttrpc

import (
	"bytes"
	"reflect"
	"testing"

	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
)

// The library decodes and encodes the envelope by hand. These tests compare that with the
// protobuf runtime: the same verdict and the same value, in both directions.

func FuzzRequest(f *testing.F) {
	for _, req := range []*Request{
		{},
		{Service: "a.Service", Method: "Method", Payload: []byte("payload"), TimeoutNano: 1e9},
		{TimeoutNano: -1},
		{Metadata: []*KeyValue{{Key: "k", Value: "v"}, {Key: "K", Value: "w"}, {}}},
		{Service: "\u00e9\U0001f600"},
	} {
		b, err := proto.Marshal(req)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
		f.Add(append(b, b...))
		f.Add(append(b, 0x7a, 2, 'u', 'n'))
		if len(b) > 1 {
			f.Add(b[:len(b)-1])
		}
	}
	for _, b := range []string{
		"\x0a\x02\xc3\x28",         // not UTF-8
		"\x08\x01",                 // service as a number
		"\x2a\x00",                 // an empty pair
		"\x2a\x04\x0a\x02\xc3\x28", // a key that is not UTF-8
		"\x1b\x0a\x01x\x1c",        // a group
		"\x1b\x0a\x01x\x24",        // and one that ends as another
		"\x1c",                     // an end without a group
		"\x00",                     // field 0
		"\x20\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", // a timeout of ten bytes
		"\x20\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", // that overflows
		"\xfa\xff\xff\xff\x0f\x00",                     // the highest field number
		"\x82\x80\x80\x80\x10\x00",                     // and one more
		"\x1a\xff\xff\xff\xff\x0f",                     // a long payload that is not there
	} {
		f.Add([]byte(b))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var want Request
		wantErr := proto.Unmarshal(b, &want)
		var got requestView
		err := got.parse(b, 1<<30)
		if (err == nil) != (wantErr == nil) {
			t.Fatalf("decoding: got error %v, the runtime says %v", err, wantErr)
		}
		if err != nil {
			return
		}
		if string(got.service) != want.Service || string(got.method) != want.Method ||
			!bytes.Equal(got.payload, want.Payload) || got.timeout != want.TimeoutNano {
			t.Fatalf("decoding: got %q %q %q %d, want %v", got.service, got.method, got.payload, got.timeout, &want)
		}
		var request callRequest
		if request.init(&buffer{b: b}, len(got.payload), got.payloadEnd); !bytes.Equal(request.payload(), want.Payload) {
			t.Fatalf("the payload ends at %d: got %q, want %q", got.payloadEnd, request.payload(), want.Payload)
		}
		md, size := MD{}, 0
		for _, kv := range want.Metadata {
			md.Append(kv.GetKey(), kv.GetValue())
			size += len(kv.GetKey()) + len(kv.GetValue()) + metadataOverhead
		}
		if len(md) == 0 {
			md = nil
		}
		if !reflect.DeepEqual(got.metadata, md) || got.metadataSize != size {
			t.Fatalf("decoding metadata: got %v (%d bytes), want %v (%d bytes)", got.metadata, got.metadataSize, md, size)
		}

		// With a limit the rest is the same, and metadata is counted, not kept.
		var limited requestView
		if err := limited.parse(b, 100); err != nil {
			t.Fatal(err)
		}
		kept := 0
		for key, values := range limited.metadata {
			for _, value := range values {
				kept += len(value) + metadataOverhead
			}
			kept += len(key)
		}
		if limited.metadataSize != size || kept > 100 {
			t.Fatalf("%d bytes of metadata, limited to 100: kept %d and counted %d", size, kept, limited.metadataSize)
		}

		clearUnknown(&want)
		envelope := requestOf(&want)
		encoded, err := envelope.append(nil)
		if err != nil {
			t.Fatalf("encoding %v: %v", &want, err)
		}
		if len(encoded) != envelope.size() {
			t.Fatalf("encoding %v: %d bytes, announced as %d", &want, len(encoded), envelope.size())
		}
		if runtime, err := (proto.MarshalOptions{Deterministic: true}).Marshal(&want); err != nil || !bytes.Equal(encoded, runtime) {
			t.Fatalf("encoding %v:\n got %q\nwant %q, %v", &want, encoded, runtime, err)
		}
	})
}

// clearUnknown removes the fields that only later versions know, which are not encoded.
func clearUnknown(req *Request) {
	req.ProtoReflect().SetUnknown(nil)
	for _, kv := range req.Metadata {
		kv.ProtoReflect().SetUnknown(nil)
	}
}

// FuzzRequestStrings encodes any request that a program may make, valid or not.
func FuzzRequestStrings(f *testing.F) {
	f.Add("a.Service", "Method", "key", "value", []byte("payload"), int64(5))
	f.Add("", "", "", "", []byte(nil), int64(0))
	f.Add("\xff", "", "", "", []byte{}, int64(-1))
	f.Add("", "\xff", "", "", []byte{}, int64(1<<63-1))
	f.Add("", "", "\xff", "", []byte{}, int64(0))
	f.Add("", "", "", "\xff", []byte{}, int64(0))
	f.Fuzz(func(t *testing.T, service, method, key, value string, payload []byte, timeout int64) {
		want := &Request{
			Service: service, Method: method, Payload: payload, TimeoutNano: timeout,
			Metadata: []*KeyValue{{Key: key, Value: value}, {Key: "again"}},
		}
		runtime, wantErr := proto.MarshalOptions{Deterministic: true}.Marshal(want)
		envelope := requestOf(want)
		got, err := envelope.append(nil)
		if (err == nil) != (wantErr == nil) {
			t.Fatalf("encoding: got error %v, the runtime says %v", err, wantErr)
		}
		if err == nil && (!bytes.Equal(got, runtime) || len(got) != envelope.size()) {
			t.Fatalf("encoding: got %q, announced as %d bytes, want %q", got, envelope.size(), runtime)
		}
	})
}

func FuzzResponse(f *testing.F) {
	for _, resp := range []*Response{
		{},
		{Status: &spb.Status{}},
		{Status: &spb.Status{Code: 5, Message: "not here"}, Payload: []byte("payload")},
		{Payload: []byte("payload")},
	} {
		b, err := proto.Marshal(resp)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
		f.Add(append(b, b...))
		f.Add(append(b, "\x0a\x02\x08\x07"...)) // another status, to be merged
		f.Add(append(b, 0x7a, 2, 'u', 'n'))
	}
	for _, b := range []string{"\x0a\x00", "\x0a\x01\x08", "\x0a\x04\x12\x02\xc3\x28", "\x08\x01", "\x12\xff", "\x82\x80\x80\x80\x10\x00",
		"\x0a\x0a\x1a\x08\x0a\x01t\x12\x03\x0a\x01x", "\x0a\x06\x82\x80\x80\x80\x10\x00"} {
		f.Add([]byte(b))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var want Response
		wantErr := proto.Unmarshal(b, &want)
		got, err := parseResponse(b, len(b))
		if (err == nil) != (wantErr == nil) {
			t.Fatalf("decoding: got error %v, the runtime says %v", err, wantErr)
		}
		if err != nil {
			return
		}
		if !bytes.Equal(got.payload, want.Payload) {
			t.Fatalf("decoding: got payload %q, want %q", got.payload, want.Payload)
		}
		status := got.status
		if status == nil {
			status = &spb.Status{} // one that is empty means as much as none
		}
		if want.Status == nil {
			want.Status = &spb.Status{}
		}
		clearUnknownStatus(want.Status)
		if !proto.Equal(status, want.Status) {
			t.Fatalf("decoding: got status %v, want %v", status, want.Status)
		}

		// A server sends a status and a message.
		encodedStatus := protowire.AppendBytes(protowire.AppendTag(nil, responseStatus, protowire.BytesType), mustMarshal(want.Status))
		p := rawPayload(want.Payload)
		encoded, err := appendResponse(nil, encodedStatus, &p)
		if err != nil || len(encoded) != sizeResponse(encodedStatus, &p) {
			t.Fatalf("encoding: %d bytes, %v, announced as %d", len(encoded), err, sizeResponse(encodedStatus, &p))
		}
		again := &Response{}
		if err := proto.Unmarshal(encoded, again); err != nil || !proto.Equal(again, &Response{Status: want.Status, Payload: want.Payload}) {
			t.Fatalf("encoding: the runtime decodes %v, %v, want %v", again, err, &want)
		}
		if frame := responseFrame(7, want.Status, defaultMaxMessageLength); !bytes.Equal(frame.b[headerLength:], encodedStatus) {
			if proto.Size(want.Status) < defaultMaxMessageLength-64 {
				t.Fatalf("the frame of a status: got %q, want %q", frame.b[headerLength:], encodedStatus)
			}
		}
	})
}

// clearUnknownStatus removes the fields of a status that the library does not keep.
func clearUnknownStatus(st *spb.Status) {
	st.ProtoReflect().SetUnknown(nil)
	for _, d := range st.Details {
		d.ProtoReflect().SetUnknown(nil)
	}
}

func FuzzStatus(f *testing.F) {
	for _, st := range []*spb.Status{
		{},
		{Code: 5, Message: "not here"},
		{Code: -1, Message: "\u00e9\U0001f600"},
		{Details: []*anypb.Any{{TypeUrl: "a/b.C", Value: []byte("value")}, {}, {Value: []byte{0}}}},
	} {
		b := mustMarshal(st)
		f.Add(b)
		f.Add(append(b, b...))
		f.Add(append(b, 0x7a, 2, 'u', 'n')) // an unknown field
		if len(b) > 1 {
			f.Add(b[:len(b)-1])
		}
	}
	for _, b := range []string{
		"\x08\xff\xff\xff\xff\x7f",         // a code of more than 32 bits
		"\x0a\x01x",                        // a code that is a string
		"\x10\x01",                         // a message that is a number
		"\x12\x02\xc3\x28",                 // and one that is not UTF-8
		"\x12\x01a\x12\x00",                // and one that is emptied
		"\x1a\x04\x0a\x02\xc3\x28",         // a type URL that is not UTF-8
		"\x1a\x06\x0a\x01a\x0a\x01b",       // two of them
		"\x1a\x04\x12\x02\xc3\x28",         // a value may be anything
		"\x1a\x05\x12\x01a\x12\x00",        // and is emptied
		"\x1a\x03\x1b\x08\x01",             // a group without an end
		"\x1a\x04\x1b\x08\x01\x1c",         // and with one
		"\x1a\x01\x00",                     // field 0
		"\x1a\x06\x82\x80\x80\x80\x10\x00", // a field number too high
		"\x1b\x0a\x01x\x1c",                // details as a group
	} {
		f.Add([]byte(b))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		want, got := &spb.Status{Message: "before"}, &spb.Status{Message: "before"}
		wantErr := proto.UnmarshalOptions{Merge: true}.Unmarshal(b, want)
		input := bytes.Clone(b)
		err := mergeStatus(got, input, len(input))
		if (err == nil) != (wantErr == nil) {
			t.Fatalf("decoding: got error %v, the runtime says %v", err, wantErr)
		}
		if err != nil {
			return
		}
		for i := range input {
			input[i] = 'X' // of which a status keeps nothing
		}
		clearUnknownStatus(want)
		if !proto.Equal(got, want) {
			t.Fatalf("decoding: got %v, want %v", got, want)
		}
		checkEncodeStatus(t, got)
	})
}

// FuzzStatusStrings encodes any status that a handler may return, valid or not.
func FuzzStatusStrings(f *testing.F) {
	f.Add(int32(5), "message", "a/b.C", []byte("value"))
	f.Add(int32(-1), "", "", []byte(nil))
	f.Add(int32(0), "\xff", "", []byte{})
	f.Add(int32(0), "", "\xff", []byte{0xff})
	f.Fuzz(func(t *testing.T, code int32, message, url string, value []byte) {
		checkEncodeStatus(t, &spb.Status{
			Code: code, Message: message,
			Details: []*anypb.Any{nil, {TypeUrl: url, Value: value}, {TypeUrl: "again"}},
		})
	})
}

// checkEncodeStatus compares the encoding of st with that of the runtime.
func checkEncodeStatus(t *testing.T, st *spb.Status) {
	t.Helper()
	want, wantErr := proto.Marshal(st)
	got, err := appendStatus(nil, st)
	if (err == nil) != (wantErr == nil) {
		t.Fatalf("encoding: got error %v, the runtime says %v", err, wantErr)
	}
	if err == nil && (!bytes.Equal(got, want) || len(got) != sizeStatus(st)) {
		t.Fatalf("encoding %v: got %q, announced as %d bytes, want %q", st, got, sizeStatus(st), want)
	}
}
