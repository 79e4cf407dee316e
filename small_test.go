package ttrpc

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Small things that no other test has a place for.

// A zero Client is one that is closed.
func TestZeroClient(t *testing.T) {
	c := &Client{}
	if err := c.Call(context.Background(), testService, "Echo", &KeyValue{}, &KeyValue{}); err != ErrClosed {
		t.Errorf("Call: got %v, want ErrClosed", err)
	}
	if cs, err := c.NewStream(context.Background(), &StreamDesc{}, testService, "Repeat", &KeyValue{}); cs != nil || err != ErrClosed {
		t.Errorf("NewStream: got %v, %v, want ErrClosed", cs, err)
	}
	if err := c.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	if err := c.UserOnCloseWait(context.Background()); err != nil {
		t.Errorf("UserOnCloseWait: %v", err)
	}
}

var errUncodable = errors.New("this message cannot be encoded or decoded")

// uncodable is a message that fails.
type uncodable struct{}

func (*uncodable) Reset()                   {}
func (*uncodable) String() string           { return "" }
func (*uncodable) ProtoMessage()            {}
func (*uncodable) Marshal() ([]byte, error) { return nil, errUncodable }
func (*uncodable) Unmarshal([]byte) error   { return errUncodable }

// What an interceptor of the server gets from decoding has a code, and its cause is
// still found in it.
func TestDecodeErrorKeepsCause(t *testing.T) {
	got := make(chan error, 1)
	desc := echoMethods()
	desc.Methods["Decode"] = func(_ context.Context, unmarshal func(any) error) (any, error) {
		return nil, unmarshal(&uncodable{})
	}
	s := newServer(t, WithUnaryServerInterceptor(func(ctx context.Context, um Unmarshaler, _ *UnaryServerInfo, m Method) (any, error) {
		resp, err := m(ctx, um)
		got <- err
		return resp, err
	}))
	s.RegisterService(testService, desc)
	c := serveTest(t, s, context.Background())
	err := c.Call(testContext(t), testService, "Decode", &KeyValue{Value: "x"}, &KeyValue{})
	if status.Code(err) != codes.InvalidArgument {
		t.Errorf("the call: got %v, want InvalidArgument", err)
	}
	if err := within(t, "the interceptor", got); !errors.Is(err, errUncodable) || status.Code(err) != codes.InvalidArgument {
		t.Errorf("the interceptor: got %v, want InvalidArgument and its cause", err)
	}
}

// A message that cannot be encoded fails before the interceptors are asked, which see
// it encoded.
func TestInterceptedMessageCannotEncode(t *testing.T) {
	_, addr := newTestServer(t, echoMethods())
	c := dialTest(t, addr,
		WithUnaryClientInterceptor(func(context.Context, *Request, *Response, *UnaryClientInfo, Invoker) error {
			t.Error("the unary interceptor was called")
			return nil
		}),
		WithStreamClientInterceptor(func(context.Context, *Request, *StreamClientInfo, Streamer) (ClientStream, error) {
			t.Error("the stream interceptor was called")
			return nil, nil
		}))
	for name, m := range map[string]any{
		"at once":                &uncodable{},
		"when its turn has come": &KeyValue{Value: "\xff"},
	} {
		if err := c.Call(testContext(t), testService, "Echo", m, &KeyValue{}); err == nil {
			t.Errorf("Call with a message that fails %s succeeded", name)
		}
		if _, err := c.NewStream(testContext(t), &StreamDesc{StreamingServer: true}, testService, "Repeat", m); err == nil {
			t.Errorf("NewStream with a message that fails %s succeeded", name)
		}
	}
	if n := tableSize(c.conn); n != 0 {
		t.Errorf("%d streams are left in the table", n)
	}
}

func TestStrings(t *testing.T) {
	for _, test := range []struct {
		v    fmt.Stringer
		want string
	}{
		{heldByLoop, "read loop"}, {heldByLeader, "leader"}, {heldByNobody, "nobody"},
		{moreFrames, "more frames"}, {lastFrame, "last frame"},
		{serverOpen, "open"}, {serverDraining, "draining"}, {serverClosed, "closed"},
		{messageTypeRequest, "request"}, {messageTypeResponse, "response"}, {messageTypeData, "data"}, {messageType(9), "type(9)"},
		{header{length: 7, id: 5, typ: messageTypeData, flags: flagRemoteClosed}, "data frame on stream 5 (flags 0x1, 7 bytes)"},
		{&callContext{}, "ttrpc.callContext"},
	} {
		if got := test.v.String(); got != test.want {
			t.Errorf("%T: got %q, want %q", test.v, got, test.want)
		}
	}
	err := &streamError{h: header{id: 5}, err: ErrStreamFull}
	if got, want := err.Error(), "stream 5: "+ErrStreamFull.Error(); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// A buffer that is released twice is a bug of ours, and says so.
func TestBufferReleasedTwice(t *testing.T) {
	buf := getBuffer(maxMessageLengthLimit) // too big for a pool: nobody else takes it
	buf.release()
	defer func() {
		if got := fmt.Sprint(recover()); !strings.HasPrefix(got, "BUG: ") {
			t.Errorf("the second release: got %q, want a panic", got)
		}
	}()
	buf.release()
}
