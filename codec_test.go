package ttrpc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	gogo "github.com/gogo/protobuf/proto"
	gogodescriptor "github.com/gogo/protobuf/protoc-gen-gogo/descriptor"
	gogotypes "github.com/gogo/protobuf/types"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// noOptions is the codec of clients and servers without options.
var noOptions codec

// messageKinds are the kinds of messages that the codec serves.
var messageKinds = []struct {
	name string
	new  func(key, value string) any
	get  func(any) (key, value string)
	used func(any) string // the method that the codec called; nil if it does not tell
}{
	{
		"protobuf-go",
		func(k, v string) any { return &KeyValue{Key: k, Value: v} },
		func(m any) (string, string) { return m.(*KeyValue).Key, m.(*KeyValue).Value },
		nil,
	},
	{
		"struct tags",
		func(k, v string) any { return &tagsOnly{Key: k, Value: v} },
		func(m any) (string, string) { return m.(*tagsOnly).Key, m.(*tagsOnly).Value },
		nil,
	},
	{
		"golang/protobuf 1.3",
		func(k, v string) any { return &golangV1{Key: k, Value: v} },
		func(m any) (string, string) { return m.(*golangV1).Key, m.(*golangV1).Value },
		nil,
	},
	{
		"golang/protobuf 1.0",
		func(k, v string) any { return &golangOld{Key: k, Value: v} },
		func(m any) (string, string) { return m.(*golangOld).Key, m.(*golangOld).Value },
		nil,
	},
	{
		"gogo's MarshalToSizedBuffer",
		func(k, v string) any { m := &gogoSized{}; m.Key, m.Value = k, v; return m },
		func(m any) (string, string) { return m.(*gogoSized).Key, m.(*gogoSized).Value },
		func(m any) string { return m.(*gogoSized).used },
	},
	{
		"gogo's MarshalTo",
		func(k, v string) any { m := &gogoTo{}; m.Key, m.Value = k, v; return m },
		func(m any) (string, string) { return m.(*gogoTo).Key, m.(*gogoTo).Value },
		func(m any) string { return m.(*gogoTo).used },
	},
	{
		"Marshal",
		func(k, v string) any { m := &marshalOnly{}; m.Key, m.Value = k, v; return m },
		func(m any) (string, string) { return m.(*marshalOnly).Key, m.(*marshalOnly).Value },
		func(m any) string { return m.(*marshalOnly).used },
	},
	{
		"vtprotobuf's methods",
		func(k, v string) any { return newVTMessage(k, v) },
		func(m any) (string, string) { return m.(*vtMessage).Key, m.(*vtMessage).Value },
		nil, // see TestVTProtobuf
	},
	{
		"gogo's generated code",
		func(k, v string) any { return &gogotypes.Mixin{Name: k, Root: v} },
		func(m any) (string, string) { return m.(*gogotypes.Mixin).Name, m.(*gogotypes.Mixin).Root },
		nil,
	},
	{
		"gogo's types for proto2",
		func(k, v string) any {
			return &gogodescriptor.FileDescriptorProto{Name: &k, Package: &v}
		},
		func(m any) (string, string) {
			fd := m.(*gogodescriptor.FileDescriptorProto)
			return fd.GetName(), fd.GetPackage()
		},
		nil,
	},
}

// Each kind of message goes both ways, in calls and streams, over each kind on
// the other side; the bytes are the same for all.
func TestMessageKinds(t *testing.T) {
	var serverKind int
	desc := &ServiceDesc{
		Methods: map[string]Method{"Echo": func(_ context.Context, um func(any) error) (any, error) {
			kind := messageKinds[serverKind]
			req := kind.new("left over", "left over")
			if err := um(req); err != nil {
				return nil, err
			}
			k, v := kind.get(req)
			return kind.new(k+"!", v+"!"), nil
		}},
		Streams: map[string]Stream{"EchoStream": {StreamingClient: true, StreamingServer: true, Handler: func(_ context.Context, ss StreamServer) (any, error) {
			kind := messageKinds[serverKind]
			for i := 0; i < 2; i++ {
				req := kind.new("left over", "left over")
				if err := ss.RecvMsg(req); err != nil {
					return nil, err
				}
				k, v := kind.get(req)
				if err := ss.SendMsg(kind.new(k+"!", v+"!")); err != nil {
					return nil, err
				}
			}
			return nil, nil
		}}},
	}
	_, addr := newTestServer(t, desc)
	pass := func(ctx context.Context, req *Request, resp *Response, _ *UnaryClientInfo, next Invoker) error {
		return next(ctx, req, resp)
	}
	plain, intercepted := dialTest(t, addr), dialTest(t, addr, WithUnaryClientInterceptor(pass))
	check := func(what string, m any, get func(any) (string, string), wantKey, wantValue string) {
		t.Helper()
		if k, v := get(m); k != wantKey || v != wantValue {
			t.Errorf("%s: got %q, %q, want %q, %q", what, k, v, wantKey, wantValue)
		}
	}
	for i := range messageKinds {
		serverKind = i
		for _, kind := range messageKinds {
			what := fmt.Sprintf("%s to %s", kind.name, messageKinds[i].name)
			for _, c := range []*Client{plain, intercepted} {
				for _, value := range []string{"v", ""} { // an empty field replaces the earlier value
					req, resp := kind.new("k", value), kind.new("left over", "left over")
					if err := c.Call(testContext(t), testService, "Echo", req, resp); err != nil {
						t.Errorf("%s: %v", what, err)
						continue
					}
					check(what, resp, kind.get, "k!", value+"!")
					if kind.used != nil && !strings.HasPrefix(kind.used(req), "Marshal") {
						t.Errorf("%s: encoded by %q", what, kind.used(req))
					}
				}
			}
			cs, err := plain.NewStream(testContext(t), &StreamDesc{StreamingClient: true, StreamingServer: true}, testService, "EchoStream", kind.new("first", "v"))
			if err != nil {
				t.Fatal(err)
			}
			if err := cs.SendMsg(kind.new("second", "v")); err != nil {
				t.Errorf("%s: %v", what, err)
			}
			for _, want := range []string{"first!", "second!"} {
				m := kind.new("left over", "left over")
				if err := cs.RecvMsg(m); err != nil {
					t.Errorf("%s, stream: %v", what, err)
					break
				}
				check(what+", stream", m, kind.get, want, "v!")
			}
		}
	}
}

// The bytes are those of the runtime that a message belongs to.
func TestMessageBytes(t *testing.T) {
	for _, m := range []gogo.Message{
		&gogotypes.Api{Name: "n", Methods: []*gogotypes.Method{{Name: "m"}}, Version: strings.Repeat("v", 300), Mixins: []*gogotypes.Mixin{{}, {Name: "x"}}},
		&gogotypes.Struct{Fields: map[string]*gogotypes.Value{"one": {Kind: &gogotypes.Value_NumberValue{NumberValue: 1}}}},
		&gogotypes.Empty{},
		&gogotypes.Any{TypeUrl: "u", Value: []byte{0, 1}},
		&gogodescriptor.DescriptorProto{Name: gogo.String("d"), Field: []*gogodescriptor.FieldDescriptorProto{{Name: gogo.String("f"), Number: gogo.Int32(-5)}}},
		&tagsOnly{Key: "k"},
		&golangV1{Key: "k", XXX_unrecognized: []byte{0x22, 1, 'u'}},
		&golangOld{Value: "v", XXX_unrecognized: []byte{0x22, 1, 'u'}},
	} {
		want, err := gogo.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		checkBytes(t, m, want)
		got := reflect.New(reflect.TypeOf(m).Elem()).Interface()
		if err := noOptions.unmarshal(want, got); err != nil {
			t.Errorf("%T: %v", m, err)
		}
		if again, err := gogo.Marshal(got.(gogo.Message)); err != nil || !bytes.Equal(again, want) {
			t.Errorf("%T: decoded to %v, want %v", m, got, m)
		}
	}
	for _, m := range []proto.Message{
		&KeyValue{Key: "k", Value: strings.Repeat("v", 300)}, &emptypb.Empty{}, &anypb.Any{TypeUrl: "u"}, (*KeyValue)(nil),
		&descriptorpb.FieldOptions{Deprecated: proto.Bool(true)}, // extensible: as a lazy message
	} {
		want, err := proto.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		checkBytes(t, m, want)
	}
}

// checkBytes compares the codec's bytes for m.
func checkBytes(t *testing.T, m any, want []byte) {
	t.Helper()
	p, err := noOptions.newPayload(m)
	if err != nil {
		t.Errorf("%T: %v", m, err)
		return
	}
	got, err := p.bytes()
	if err != nil || got == nil || !bytes.Equal(got, want) {
		t.Errorf("%T: got %q, %v, want %q", m, got, err, want)
	}
	// It goes where it is told, with or without room there.
	for _, room := range []int{0, len(want), 2 * len(want)} {
		b := append(make([]byte, 0, 6+room), "before"...)
		if got, err := p.append(b); err != nil || string(got) != "before"+string(want) {
			t.Errorf("%T: appended with room for %d: %q, %v", m, room, got, err)
		}
	}
}

// A method that should append to a buffer may return a slice of its own.
func TestMoveInto(t *testing.T) {
	room := make([]byte, 4)
	for _, test := range []struct {
		length int // of dst
		out    func() []byte
		want   string // dst afterwards
	}{
		{0, func() []byte { return nil }, ""},
		{0, func() []byte { return []byte("new") }, ""},
		{3, func() []byte { return nil }, "..."},
		{3, func() []byte { return []byte("longer") }, "..."},
		{3, func() []byte { return append(room[:0], "own"...) }, "own"},
		{3, func() []byte { return []byte("new") }, "new"},
	} {
		copy(room, "....")
		dst, out := room[:test.length], test.out()
		if n := moveInto(dst, out); n != len(out) || string(dst) != test.want {
			t.Errorf("%q into %d bytes: got %d and %q, want %q", out, test.length, n, dst, test.want)
		}
	}
}

// A value that is no message, or cannot be encoded, is an error that names its type; and
// so is an error of the message, which is also found in it.
func TestCannotEncode(t *testing.T) {
	g := newGate()
	close(g.proceed)
	c, s := newTestPair(t, g.service())
	cs, err := c.NewStream(testContext(t), &StreamDesc{StreamingClient: true}, testService, "Join", nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		m    any
		text string
	}{
		{nil, "nil"},
		{"text", "string is not a protobuf message"},
		{5, "int is not a protobuf message"},
		{struct{ X int }{}, "struct { X int } is not a protobuf message"},
		{gogotypes.Mixin{}, "types.Mixin is not a protobuf message; did you mean *types.Mixin?"},
		{wrapperspb.StringValue{}, "wrapperspb.StringValue is not a protobuf message; did you mean *wrapperspb.StringValue?"},
		{new(*KeyValue), "**ttrpc.KeyValue is not a protobuf message; did you mean *ttrpc.KeyValue?"},
		{&struct{}{}, "*struct {} is not a protobuf message"},
		{&failingMessage{}, "*ttrpc.failingMessage"},
		{&failingMarshal{}, "*ttrpc.failingMarshal"},
		{&nonsenseTags{Field: map[string]int{"a": 1}}, "*ttrpc.nonsenseTags"},
		{&changingMessage{says: 10, is: 5}, "changed while it was encoded (10 bytes, then 5)"},
		{&changingXXX{says: 10, is: 5}, "changed while it was encoded (10 bytes, then 5)"},
		{&changingXXX{says: 10, is: 50}, "changed while it was encoded (10 bytes, then 50)"},
		{&KeyValue{Value: "\xff"}, "*ttrpc.KeyValue"},
		{&gogodescriptor.UninterpretedOption_NamePart{IsExtension: gogo.Bool(true)}, "NamePart"}, // a required field is not set
	} {
		errs := map[string]error{
			"Call": c.Call(testContext(t), testService, "Echo", test.m, &KeyValue{}),
		}
		if test.m != nil { // which is a message of no bytes, and no first one
			errs["SendMsg"] = cs.SendMsg(test.m)
			_, errs["NewStream"] = c.NewStream(testContext(t), &StreamDesc{StreamingServer: true}, testService, "Repeat", test.m)
		}
		for what, err := range errs {
			if err == nil || !strings.Contains(err.Error(), test.text) {
				t.Errorf("%s of %T: got %v, want %q in it", what, test.m, err, test.text)
			}
			switch test.m.(type) {
			case *failingMessage, *failingMarshal:
				if !errors.Is(err, errMarshal) {
					t.Errorf("%s of %T: %v does not wrap the message's error", what, test.m, err)
				}
			}
		}
	}
	// Nothing of all that was sent.
	if err := echo(testContext(t), c, "x"); err != nil {
		t.Error(err)
	}
	if err := cs.CloseSend(); err != nil {
		t.Error(err)
	}
	var sum KeyValue
	if err := cs.RecvMsg(&sum); err != nil || sum.Value != "" {
		t.Errorf("the stream: %q, %v", sum.Value, err)
	}
	c.Close()
	serverIdle(t, s)
}

// Custom types of gogo's messages may keep the slice that they are given, at any depth.
func TestCustomTypes(t *testing.T) {
	value := bytes.Repeat([]byte("a"), 50)
	desc := echoMethods()
	desc.Methods["Custom"] = func(_ context.Context, um func(any) error) (any, error) {
		var m withCustom
		err := um(&m)
		return &m, err
	}
	c, _ := newTestPair(t, desc)
	var first withCustom
	if err := c.Call(testContext(t), testService, "Custom", &withCustom{ID: value}, &first); err != nil {
		t.Fatal(err)
	}
	// The tests' buffers are overwritten when they are released.
	if !bytes.Equal(first.ID, value) {
		t.Errorf("got %q, want %q", first.ID, value)
	}
}

// Decoding into a value that is no message is an error that names the type; bytes that are
// not the message's are an error, too. Neither harms the connection.
func TestCannotDecode(t *testing.T) {
	var into any
	desc := echoMethods()
	desc.Methods["Into"] = func(_ context.Context, um func(any) error) (any, error) { return &KeyValue{}, um(into) }
	c, _ := newTestPair(t, desc)
	for _, m := range []any{
		nil, (*KeyValue)(nil), (*gogotypes.Mixin)(nil), (*tagsOnly)(nil), "text", 5, struct{}{}, &struct{}{}, gogotypes.Mixin{},
		&nonsenseTags{}, &nonsenseKind{}, &failingMessage{},
	} {
		err := c.Call(testContext(t), testService, "Echo", &KeyValue{Key: "k"}, m)
		if err == nil || status.Code(err) != codes.Unknown || m != nil && !strings.Contains(err.Error(), fmt.Sprintf("%T", m)) {
			t.Errorf("response into %T: got %v", m, err)
		}
		into = m
		if err := c.Call(testContext(t), testService, "Into", &KeyValue{Key: "k"}, &KeyValue{}); status.Code(err) != codes.InvalidArgument {
			t.Errorf("request into %T: got %v, want InvalidArgument", m, err)
		}
	}
	garbage := []byte{0x0a, 0x7f, 'x'} // a string of 127 bytes, of which there is one
	for _, kind := range messageKinds {
		m := kind.new("", "")
		if err := noOptions.unmarshal(garbage, m); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("%T", m)) {
			t.Errorf("garbage into %s: got %v", kind.name, err)
		}
	}
	if err := echo(testContext(t), c, "x"); err != nil {
		t.Errorf("the connection: %v", err)
	}
}

// A nil pointer to a message encodes to nothing, if at all: it never panics.
func TestTypedNilMessages(t *testing.T) {
	c, _ := newTestPair(t, echoMethods())
	for _, m := range []any{(*KeyValue)(nil), (*gogotypes.Mixin)(nil), (*golangV1)(nil), (*tagsOnly)(nil), (*gogodescriptor.FileOptions)(nil)} {
		var resp KeyValue
		if err := c.Call(testContext(t), testService, "Echo", m, &resp); err == nil && (resp.Key != "" || resp.Value != "") {
			t.Errorf("%T: got %v", m, &resp)
		}
		cs, err := c.NewStream(testContext(t), &StreamDesc{StreamingClient: true, StreamingServer: true}, testService, "EchoStream", m)
		if err != nil {
			continue
		}
		if err := cs.SendMsg(m); err != nil {
			t.Errorf("%T: SendMsg: %v", m, err)
		}
		for i := 0; i < 2; i++ {
			if err := cs.RecvMsg(&resp); err != nil || resp.Key != "" || resp.Value != "" {
				t.Errorf("%T: message %d: %v, %v", m, i, &resp, err)
			}
		}
	}
}
