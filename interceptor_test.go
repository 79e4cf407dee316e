package ttrpc

import (
	"context"
	"fmt"
	"io"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// The info is the interceptor's own: no other call sees its changes.
func TestInterceptorInfoIsOfOneCall(t *testing.T) {
	tr := &trace{}
	_, addr := newTestServer(t, echoMethods(),
		WithChainUnaryServerInterceptor(func(ctx context.Context, um Unmarshaler, info *UnaryServerInfo, method Method) (any, error) {
			info.FullMethod += "!"
			return method(ctx, um)
		}, tr.unaryServer("unary")),
		WithChainStreamServerInterceptor(func(ctx context.Context, ss StreamServer, info *StreamServerInfo, next StreamHandler) (any, error) {
			info.FullMethod += "!"
			return next(ctx, ss)
		}, tr.streamServer("stream")))
	c := dialTest(t, addr)
	for i := 0; i < 2; i++ {
		if err := echo(testContext(t), c, "x"); err != nil {
			t.Fatal(err)
		}
		tr.want(t, "unary", "unary /test.Service/Echo!", "unary end")
		cs, err := c.NewStream(testContext(t), &StreamDesc{StreamingServer: true}, testService, "Repeat", &KeyValue{})
		for err == nil {
			err = cs.RecvMsg(&KeyValue{})
		}
		if err != io.EOF {
			t.Fatal(err)
		}
		tr.want(t, "stream", "stream /test.Service/Repeat! false true", "stream end")
	}
}

// Interceptors run in their order, the first outermost, and see the method under
// a name with one slash before the service (regression 1).
func TestInterceptorOrder(t *testing.T) {
	var server, client trace
	_, addr := newTestServer(t, echoMethods(),
		WithUnaryServerInterceptor(server.unaryServer("a")),
		WithChainUnaryServerInterceptor(server.unaryServer("b"), nil, server.unaryServer("c")),
		WithChainUnaryServerInterceptor(server.unaryServer("d")),
		WithStreamServerInterceptor(server.streamServer("A")),
		WithChainStreamServerInterceptor(nil, server.streamServer("B")),
		WithChainStreamServerInterceptor(server.streamServer("C")),
	)
	c := dialTest(t, addr,
		WithUnaryClientInterceptor(server.unaryClient("replaced")),
		WithUnaryClientInterceptor(client.unaryClient("a")),
		WithChainUnaryClientInterceptor(client.unaryClient("b"), nil, client.unaryClient("c")),
		WithChainUnaryClientInterceptor(client.unaryClient("d")),
		WithStreamClientInterceptor(server.streamClient("replaced")),
		WithStreamClientInterceptor(client.streamClient("A")),
		WithChainStreamClientInterceptor(nil, client.streamClient("B")),
		WithChainStreamClientInterceptor(client.streamClient("C")),
	)
	if err := echo(testContext(t), c, "x"); err != nil {
		t.Error(err)
	}
	const method = "/test.Service/Echo"
	unary := []string{"a " + method, "b " + method, "c " + method, "d " + method, "d end", "c end", "b end", "a end"}
	client.want(t, "unary, client", unary...)
	server.want(t, "unary, server", unary...)

	callAll(t, c)
	all := append([]string(nil), unary...)
	for _, m := range []string{"/test.Service/Repeat false true", "/test.Service/Join true false", "/test.Service/EchoStream true true"} {
		all = append(all, "A "+m, "B "+m, "C "+m, "C end", "B end", "A end")
	}
	client.want(t, "streams, client", all...)
	server.want(t, "streams, server", all...)
}

// Nil stands for the default, which is none; so does a chain of nothing.
func TestNilInterceptors(t *testing.T) {
	_, addr := newTestServer(t, echoMethods(),
		WithUnaryServerInterceptor(nil), WithUnaryServerInterceptor(nil), WithChainUnaryServerInterceptor(), WithChainUnaryServerInterceptor(nil, nil),
		WithStreamServerInterceptor(nil), WithStreamServerInterceptor(nil), WithChainStreamServerInterceptor(), WithChainStreamServerInterceptor(nil, nil),
	)
	callAll(t, dialTest(t, addr,
		WithUnaryClientInterceptor(nil), WithChainUnaryClientInterceptor(), WithChainUnaryClientInterceptor(nil, nil),
		WithStreamClientInterceptor(nil), WithChainStreamClientInterceptor(), WithChainStreamClientInterceptor(nil, nil),
	))
	// Nil after another one takes that away.
	var tr trace
	callAll(t, dialTest(t, addr,
		WithUnaryClientInterceptor(tr.unaryClient("a")), WithUnaryClientInterceptor(nil),
		WithStreamClientInterceptor(tr.streamClient("a")), WithStreamClientInterceptor(nil),
	))
	tr.want(t, "interceptors that were replaced by nil")
}

type ctxKey struct{}

// A server interceptor may change the context, look at the request, change or
// replace the response, and answer itself.
func TestUnaryServerInterceptor(t *testing.T) {
	handled := 0
	desc := &ServiceDesc{Methods: map[string]Method{"M": func(ctx context.Context, um func(any) error) (any, error) {
		handled++
		var req KeyValue
		if err := um(&req); err != nil {
			return nil, err
		}
		req.Value += fmt.Sprint(ctx.Value(ctxKey{}))
		return &req, nil
	}}}
	_, addr := newTestServer(t, desc, WithUnaryServerInterceptor(
		func(ctx context.Context, um Unmarshaler, info *UnaryServerInfo, method Method) (any, error) {
			var req KeyValue
			if err := um(&req); err != nil {
				return nil, err
			}
			switch req.Key {
			case "refuse":
				return nil, status.Error(codes.PermissionDenied, "by the interceptor")
			case "answer":
				return &KeyValue{Value: "mine"}, nil
			case "nothing":
				return nil, nil
			}
			resp, err := method(context.WithValue(ctx, ctxKey{}, "-ctx"), func(m any) error {
				if err := um(m); err != nil {
					return err
				}
				m.(*KeyValue).Value += "-um"
				return nil
			})
			if err == nil {
				resp.(*KeyValue).Value += "-resp"
			}
			return resp, err
		}))
	c := dialTest(t, addr)
	call := func(key string) (string, error) {
		var resp KeyValue
		err := c.Call(testContext(t), testService, "M", &KeyValue{Key: key, Value: "v"}, &resp)
		return resp.Value, err
	}
	if v, err := call("pass"); err != nil || v != "v-um-ctx-resp" {
		t.Errorf("pass: %q, %v", v, err)
	}
	if handled != 1 {
		t.Fatalf("the handler ran %d times", handled)
	}
	if _, err := call("refuse"); status.Code(err) != codes.PermissionDenied {
		t.Errorf("refuse: %v", err)
	}
	if v, err := call("answer"); err != nil || v != "mine" {
		t.Errorf("answer: %q, %v", v, err)
	}
	if _, err := call("nothing"); status.Code(err) != codes.Internal {
		t.Errorf("nothing: %v", err)
	}
	if handled != 1 {
		t.Error("the handler ran although the interceptor did not call it")
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
