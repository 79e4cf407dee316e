package ttrpc

import (
	"context"
	"fmt"
	"reflect"
	"sync"
	"testing"
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
