package ttrpc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"reflect"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

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
