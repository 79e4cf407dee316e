package ttrpc

import (
	"context"
	"errors"
	"fmt"
	"math/rand"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// A handler that returns no message, or one that cannot be sent, is an error of
// that call and nothing else (regression 4).
func TestUnusableResponse(t *testing.T) {
	var next any
	c, _ := newTestPair(t, &ServiceDesc{
		Methods: map[string]Method{"M": func(context.Context, func(any) error) (any, error) { return next, nil }},
		Streams: map[string]Stream{"S": {StreamingClient: true, Handler: func(context.Context, StreamServer) (any, error) { return next, nil }}},
	})
	for name, resp := range map[string]any{
		"nil":           nil,
		"typed nil":     (*KeyValue)(nil),
		"another type":  "text",
		"not UTF-8":     &KeyValue{Value: "\xff"},
		"a value":       struct{}{},
		"nil interface": error(nil),
	} {
		next = resp
		if err := c.Call(testContext(t), testService, "M", &KeyValue{}, &KeyValue{}); status.Code(err) != codes.Internal {
			t.Errorf("%s: got %v, want Internal", name, err)
		}
		cs, err := c.NewStream(testContext(t), &StreamDesc{StreamingClient: true}, testService, "S", nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := cs.RecvMsg(&KeyValue{}); status.Code(err) != codes.Internal {
			t.Errorf("%s, stream: got %v, want Internal", name, err)
		}
	}
	next = &KeyValue{Value: "good"}
	var resp KeyValue
	if err := c.Call(testContext(t), testService, "M", &KeyValue{}, &resp); err != nil || resp.Value != "good" {
		t.Errorf("the next call: %v, %v", &resp, err)
	}
}

// A request that does not decode is InvalidArgument, unless the handler says
// otherwise.
func TestUndecodableRequest(t *testing.T) {
	_, addr := newTestServer(t, echoMethods())
	w := dialWire(t, addr)
	for i, method := range []string{"Echo", "Repeat"} {
		id := streamID(1 + 2*i)
		w.write(header{id: id, typ: messageTypeRequest, flags: flags(i)}, mustMarshal(&Request{Service: testService, Method: method, Payload: []byte{0xff}}))
		if _, resp := w.readResponse(); codes.Code(resp.Status.GetCode()) != codes.InvalidArgument {
			t.Errorf("%s: got %v, want InvalidArgument", method, resp)
		}
	}
	w.request(5, "Echo", 0, &KeyValue{Value: "x"})
	if id, resp := w.readResponse(); id != 5 || resp.Status.GetCode() != 0 {
		t.Errorf("the next call: %v", resp)
	}
}

// An interceptor that gives up before its method returns leaves that with the request
// or without, but not with another one's bytes.
func TestDecodeAfterReturn(t *testing.T) {
	value := strings.Repeat("v", 1000)
	decoded := make(chan error, 1)
	desc := echoMethods()
	desc.Methods["Decode"] = func(_ context.Context, um func(any) error) (any, error) {
		for {
			var kv KeyValue
			if err := um(&kv); err != nil {
				decoded <- err
				return nil, err
			}
			if kv.Value != value {
				decoded <- fmt.Errorf("decoded %.10q", kv.Value)
				return &kv, nil
			}
		}
	}
	_, addr := newTestServer(t, desc, WithUnaryServerInterceptor(
		func(ctx context.Context, um Unmarshaler, _ *UnaryServerInfo, m Method) (any, error) {
			go m(ctx, um)
			time.Sleep(time.Duration(rand.Intn(1000)) * time.Microsecond)
			return nil, context.DeadlineExceeded
		}))
	c := dialTest(t, addr)
	for i := 0; i < 50; i++ {
		err := c.Call(testContext(t), testService, "Decode", &KeyValue{Value: value}, &KeyValue{})
		if status.Code(err) != codes.DeadlineExceeded {
			t.Errorf("the call: got %v, want DeadlineExceeded", err)
		}
		if err := within(t, "the method", decoded); status.Code(err) != codes.Internal {
			t.Fatalf("the method: got %v, want Internal", err)
		}
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

// A decoding error that an interceptor of the server gets has a code, and keeps its
// cause.
func TestDecodeErrorKeepsCause(t *testing.T) {
	got := make(chan error, 1)
	desc := echoMethods()
	desc.Methods["Decode"] = func(_ context.Context, unmarshal func(any) error) (any, error) {
		return nil, unmarshal(&uncodable{})
	}
	s := newServer(t, nil, WithUnaryServerInterceptor(func(ctx context.Context, um Unmarshaler, _ *UnaryServerInfo, m Method) (any, error) {
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
