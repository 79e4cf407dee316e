package ttrpc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// A trace is the order in which things happened.
type trace struct {
	mu    sync.Mutex
	steps []string
}

func (tr *trace) add(format string, args ...any) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.steps = append(tr.steps, fmt.Sprintf(format, args...))
}

// want compares the steps, and forgets them.
func (tr *trace) want(t *testing.T, what string, want ...string) {
	t.Helper()
	tr.mu.Lock()
	defer tr.mu.Unlock()
	if !reflect.DeepEqual(tr.steps, want) {
		t.Errorf("%s:\n got %q\nwant %q", what, tr.steps, want)
	}
	tr.steps = nil
}

// The interceptors of these tests note when they begin and end, and which method
// they see.

func (tr *trace) unaryServer(name string) UnaryServerInterceptor {
	return func(ctx context.Context, um Unmarshaler, info *UnaryServerInfo, method Method) (any, error) {
		tr.add("%s %s", name, info.FullMethod)
		defer tr.add("%s end", name)
		return method(ctx, um)
	}
}

func (tr *trace) unaryClient(name string) UnaryClientInterceptor {
	return func(ctx context.Context, req *Request, resp *Response, info *UnaryClientInfo, next Invoker) error {
		tr.add("%s %s", name, info.FullMethod)
		defer tr.add("%s end", name)
		return next(ctx, req, resp)
	}
}

func (tr *trace) streamServer(name string) StreamServerInterceptor {
	return func(ctx context.Context, ss StreamServer, info *StreamServerInfo, next StreamHandler) (any, error) {
		tr.add("%s %s %v %v", name, info.FullMethod, info.StreamingClient, info.StreamingServer)
		defer tr.add("%s end", name)
		return next(ctx, ss)
	}
}

func (tr *trace) streamClient(name string) StreamClientInterceptor {
	return func(ctx context.Context, req *Request, info *StreamClientInfo, next Streamer) (ClientStream, error) {
		tr.add("%s %s %v %v", name, info.FullMethod, info.StreamingClient, info.StreamingServer)
		defer tr.add("%s end", name)
		return next(ctx, req)
	}
}

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

// callAll makes a unary call and a stream of each kind.
func callAll(t *testing.T, c *Client) {
	t.Helper()
	if err := echo(testContext(t), c, "x"); err != nil {
		t.Error(err)
	}
	for _, s := range []struct {
		method         string
		client, server bool
		req            any
	}{
		{"Repeat", false, true, &KeyValue{Value: "1"}},
		{"Join", true, false, nil},
		{"EchoStream", true, true, nil},
	} {
		cs, err := c.NewStream(testContext(t), &StreamDesc{StreamingClient: s.client, StreamingServer: s.server}, testService, s.method, s.req)
		if err != nil {
			t.Errorf("%s: %v", s.method, err)
			continue
		}
		if s.client {
			if err := cs.SendMsg(&KeyValue{Value: "1"}); err != nil {
				t.Errorf("%s: SendMsg: %v", s.method, err)
			}
			if err := cs.CloseSend(); err != nil {
				t.Errorf("%s: CloseSend: %v", s.method, err)
			}
		}
		var m KeyValue
		if err := cs.RecvMsg(&m); err != nil || m.Value != "1" {
			t.Errorf("%s: got %v, %v", s.method, &m, err)
		}
		if err := cs.RecvMsg(&m); err == nil {
			t.Errorf("%s: a second message: %v", s.method, &m)
		}
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

// The client's interceptor gets the request as it would be sent, and its changes are
// sent: otelttrpc and Kata put metadata in, duplicates and all.
func TestUnaryClientInterceptorRequest(t *testing.T) {
	var seen *Request
	var edit func(*Request)
	c, w := wireClient(t, WithClientExtensions(false), WithUnaryClientInterceptor(
		func(ctx context.Context, req *Request, resp *Response, info *UnaryClientInfo, next Invoker) error {
			seen = proto.Clone(req).(*Request)
			edit(req)
			return next(ctx, req, resp)
		}))
	exchange := func(ctx context.Context) *Request {
		t.Helper()
		call := goErr(func() error { return c.Call(ctx, testService, "Echo", &KeyValue{Value: "v"}, &KeyValue{}) })
		h, req := w.readRequest()
		w.respond(h.id, &Response{})
		if err := within(t, "Call", call); err != nil {
			t.Error(err)
		}
		return req
	}
	payload := mustMarshal(&KeyValue{Value: "v"})

	edit = func(*Request) {}
	sent := exchange(WithMetadata(testContext(t), MD{"a": {"1", "2"}}))
	want := &Request{Service: testService, Method: "Echo", Payload: payload, TimeoutNano: sent.TimeoutNano,
		Metadata: []*KeyValue{{Key: "a", Value: "1"}, {Key: "a", Value: "2"}}}
	if !proto.Equal(seen, want) {
		t.Errorf("the interceptor saw %v, want %v", seen, want)
	}
	if !proto.Equal(sent, seen) {
		t.Errorf("sent was %v, the interceptor saw %v", sent, seen)
	}
	if d := time.Duration(seen.TimeoutNano); d <= 0 || d > testTimeout {
		t.Errorf("the timeout is %v", d)
	}

	replacement := &Request{
		Service: "other.Service", Method: "Other", Payload: []byte("anything"), TimeoutNano: 12345678,
		Metadata: []*KeyValue{{Key: "b", Value: "x"}, {Key: "B", Value: "y"}, {Key: "b", Value: "x"}},
	}
	edit = func(req *Request) { proto.Reset(req); proto.Merge(req, replacement) }
	if sent := exchange(WithMetadata(testContext(t), MD{"a": {"1"}})); !proto.Equal(sent, replacement) {
		t.Errorf("sent was %v, want what the interceptor made of it: %v", sent, replacement)
	}

	edit = func(req *Request) { req.Metadata, req.Payload = nil, nil }
	if sent := exchange(WithMetadata(testContext(t), MD{"a": {"1"}})); len(sent.Metadata) != 0 || len(sent.Payload) != 0 {
		t.Errorf("what the interceptor took away was sent: %v", sent)
	}

	edit = func(req *Request) { req.Metadata = append(req.Metadata, nil, &KeyValue{Key: "k"}) }
	if sent := exchange(testContext(t)); len(sent.Metadata) != 2 || sent.Metadata[1].Key != "k" {
		t.Errorf("a nil entry: %v", sent.Metadata)
	}
}

// It gets the response as it came, may change it, invoke again, or not at all.
func TestUnaryClientInterceptorResponse(t *testing.T) {
	_, addr := newTestServer(t, echoMethods())
	var intercept UnaryClientInterceptor
	c := dialTest(t, addr, WithChainUnaryClientInterceptor(
		func(ctx context.Context, req *Request, resp *Response, info *UnaryClientInfo, next Invoker) error {
			return intercept(ctx, req, resp, info, next)
		}))
	call := func(method string) (string, error) {
		var resp KeyValue
		err := c.Call(testContext(t), testService, method, &KeyValue{Value: "v"}, &resp)
		return resp.Value, err
	}

	// A status is in the response, and an error of the call itself is returned.
	intercept = func(ctx context.Context, req *Request, resp *Response, _ *UnaryClientInfo, next Invoker) error {
		if err := next(ctx, req, resp); err != nil {
			t.Errorf("the invoker returned %v", err)
		}
		if got := codes.Code(resp.Status.GetCode()); got != codes.AlreadyExists {
			t.Errorf("the interceptor saw status %v", got)
		}
		return nil
	}
	if _, err := call("Fail"); status.Code(err) != codes.AlreadyExists {
		t.Errorf("got %v", err)
	}

	intercept = func(ctx context.Context, req *Request, resp *Response, _ *UnaryClientInfo, next Invoker) error {
		if err := next(ctx, req, resp); err != nil {
			return err
		}
		resp.Status = nil
		resp.Payload = mustMarshal(&KeyValue{Value: "changed"})
		return nil
	}
	if v, err := call("Fail"); err != nil || v != "changed" {
		t.Errorf("changed response: %q, %v", v, err)
	}

	intercept = func(ctx context.Context, req *Request, resp *Response, _ *UnaryClientInfo, next Invoker) error {
		for i := 0; i < 3; i++ {
			if err := next(ctx, req, resp); err != nil {
				return err
			}
		}
		return nil
	}
	if v, err := call("Echo"); err != nil || v != "v" {
		t.Errorf("invoked three times: %q, %v", v, err)
	}

	own := errors.New("the interceptor's")
	intercept = func(context.Context, *Request, *Response, *UnaryClientInfo, Invoker) error { return own }
	if _, err := call("Echo"); err != own {
		t.Errorf("error of the interceptor: got %v", err)
	}
	intercept = func(_ context.Context, _ *Request, resp *Response, _ *UnaryClientInfo, _ Invoker) error {
		resp.Payload = mustMarshal(&KeyValue{Value: "own"})
		return nil
	}
	if v, err := call("Echo"); err != nil || v != "own" {
		t.Errorf("response of the interceptor: %q, %v", v, err)
	}

	// The context that it passes on is the one that counts.
	intercept = func(ctx context.Context, req *Request, resp *Response, _ *UnaryClientInfo, next Invoker) error {
		ctx, cancel := context.WithCancel(ctx)
		cancel()
		return next(ctx, req, resp)
	}
	if _, err := call("Echo"); err != context.Canceled {
		t.Errorf("context of the interceptor: got %v", err)
	}

	// A message that it makes too long is refused, as any.
	intercept = func(ctx context.Context, req *Request, resp *Response, _ *UnaryClientInfo, next Invoker) error {
		req.Metadata = append(req.Metadata, &KeyValue{Value: strings.Repeat("x", 4<<20)})
		return next(ctx, req, resp)
	}
	var oversized *OversizedMessageErr
	if _, err := call("Echo"); !errors.As(err, &oversized) {
		t.Errorf("oversized by the interceptor: got %v", err)
	}
}

// wrappedServerStream puts a prefix before each message.
type wrappedServerStream struct {
	StreamServer
	prefix string
}

func (s *wrappedServerStream) SendMsg(m any) error {
	m.(*KeyValue).Value = s.prefix + m.(*KeyValue).Value
	return s.StreamServer.SendMsg(m)
}

type wrappedClientStream struct {
	ClientStream
	prefix string
}

func (s *wrappedClientStream) SendMsg(m any) error {
	m.(*KeyValue).Value = s.prefix + m.(*KeyValue).Value
	return s.ClientStream.SendMsg(m)
}

// Interceptors of streams may wrap the stream, change the request and the
// context, refuse, and answer.
func TestStreamInterceptors(t *testing.T) {
	var c *Client
	desc := echoMethods()
	desc.Streams["Context"] = Stream{StreamingServer: true, Handler: func(ctx context.Context, ss StreamServer) (any, error) {
		v, _ := GetMetadataValue(ctx, "k")
		return &KeyValue{Key: fmt.Sprint(ctx.Value(ctxKey{})), Value: v}, nil
	}}
	_, addr := newTestServer(t, desc, WithStreamServerInterceptor(
		func(ctx context.Context, ss StreamServer, info *StreamServerInfo, next StreamHandler) (any, error) {
			if v, _ := GetMetadataValue(ctx, "refuse"); v != "" {
				return nil, status.Error(codes.PermissionDenied, v)
			}
			return next(context.WithValue(ctx, ctxKey{}, "ctx"), &wrappedServerStream{ss, "server-"})
		}))
	own := errors.New("the interceptor's")
	c = dialTest(t, addr, WithStreamClientInterceptor(
		func(ctx context.Context, req *Request, info *StreamClientInfo, next Streamer) (ClientStream, error) {
			if v, _ := GetMetadataValue(ctx, "own"); v != "" {
				return nil, own
			}
			if info.FullMethod == "/test.Service/Context" {
				req.Metadata = append(req.Metadata, &KeyValue{Key: "k", Value: "from the interceptor"})
			}
			cs, err := next(ctx, req)
			if err != nil {
				return nil, err
			}
			return &wrappedClientStream{cs, "client-"}, nil
		}))

	open := func(md MD, method string, client bool, req any) (ClientStream, error) {
		return c.NewStream(WithMetadata(testContext(t), md), &StreamDesc{StreamingClient: client, StreamingServer: true}, testService, method, req)
	}
	cs, err := open(nil, "EchoStream", true, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := cs.SendMsg(&KeyValue{Value: "v"}); err != nil {
		t.Error(err)
	}
	var m KeyValue
	if err := cs.RecvMsg(&m); err != nil || m.Value != "server-client-v" {
		t.Errorf("through both wrappers: %q, %v", m.Value, err)
	}
	if err := cs.CloseSend(); err != nil {
		t.Error(err)
	}
	if err := cs.RecvMsg(&m); err != io.EOF {
		t.Errorf("after the last message: %v", err)
	}

	cs, err = open(nil, "Context", false, &KeyValue{})
	if err != nil {
		t.Fatal(err)
	}
	if err := cs.RecvMsg(&m); err != nil || m.Key != "ctx" || m.Value != "from the interceptor" {
		t.Errorf("request and context: %v, %v", &m, err)
	}

	cs, err = open(MD{"refuse": {"no"}}, "Repeat", false, &KeyValue{})
	if err != nil {
		t.Fatal(err)
	}
	if err := cs.RecvMsg(&m); status.Code(err) != codes.PermissionDenied {
		t.Errorf("refused by the server's: %v", err)
	}
	if _, err := open(MD{"own": {"x"}}, "Repeat", false, &KeyValue{}); err != own {
		t.Errorf("refused by the client's: %v", err)
	}
	if err := cs.RecvMsg(&m); err == nil {
		t.Error("a stream that was refused goes on")
	}
	if n := tableSize(c.conn); n > 1 { // "Context" may not have ended yet
		t.Errorf("%d streams are left in the client's table", n)
	}
}

// The first message of a stream passes interceptors unchanged: there or absent,
// and empty ones, too.
func TestStreamInterceptorFirstMessage(t *testing.T) {
	pass := func(ctx context.Context, req *Request, _ *StreamClientInfo, next Streamer) (ClientStream, error) {
		return next(ctx, req)
	}
	plain, plainWire := wireClient(t)
	chained, chainedWire := wireClient(t, WithStreamClientInterceptor(pass))
	for _, client := range []bool{true, false} {
		for _, req := range []any{&KeyValue{Value: "v"}, &KeyValue{}, nil} {
			if !client && req == nil {
				continue
			}
			desc := &StreamDesc{StreamingClient: client, StreamingServer: true}
			var frames [2]wireFrame
			for i, end := range []struct {
				c *Client
				w *wire
			}{{plain, plainWire}, {chained, chainedWire}} {
				if _, err := end.c.NewStream(context.Background(), desc, testService, "M", req); err != nil {
					t.Fatal(err)
				}
				frames[i] = end.w.read()
			}
			if !reflect.DeepEqual(frames[0], frames[1]) {
				t.Errorf("client streams %v, first message %v: through an interceptor goes %v %q, without it %v %q",
					client, req, frames[1].header, frames[1].body, frames[0].header, frames[0].body)
			}
		}
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
