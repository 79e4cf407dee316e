package ttrpc

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

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
