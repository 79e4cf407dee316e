package main

import (
	"context"
	"net"

	echopb "github.com/containerd/ttrpc/bench/messages/pb"
	"github.com/containerd/ttrpc/bench/workload"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
)

type conn struct {
	*grpc.ClientConn
	real bool
}

func dial(addr string, o workload.Options) (workload.Conn, error) {
	opts := []grpc.DialOption{
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(context.Context, string) (net.Conn, error) { return o.Connection.Dial(addr) }),
	}
	if o.Real {
		opts = append(opts, grpc.WithUnaryInterceptor(
			func(ctx context.Context, method string, req, resp any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
				if err := workload.CheckMethod(method); err != nil {
					return err
				}
				return invoke(ctx, method, req, resp, cc, opts...)
			}))
	}
	cc, err := grpc.NewClient("unix:"+addr, opts...)
	return conn{cc, o.Real}, err
}

// Unary implements workload.Conn.
func (c conn) Unary(method workload.Method, payload []byte) workload.Call {
	req := &echopb.Echo{Payload: payload}
	path := service + string(method)
	return func(ctx context.Context) ([]byte, error) {
		if c.real {
			ctx = metadata.AppendToOutgoingContext(ctx, workload.MetadataKey, workload.MetadataValue)
		}
		resp := new(echopb.Echo)
		if err := c.Invoke(ctx, path, req, resp); err != nil {
			return nil, err
		}
		return resp.GetPayload(), nil
	}
}

// Stream implements workload.Conn.
func (c conn) Stream(ctx context.Context, kind workload.StreamKind, payload []byte) (workload.Stream, error) {
	desc := &grpc.StreamDesc{
		ClientStreams: kind != workload.ServerStream,
		ServerStreams: kind != workload.ClientStream,
	}
	st, err := c.NewStream(ctx, desc, service+string(kind))
	if err != nil {
		return nil, err
	}
	s := &stream{st, &echopb.Echo{Payload: payload}}
	if kind != workload.ServerStream {
		return s, nil
	}
	if err := s.Send(); err != nil {
		return nil, err
	}
	return s, s.CloseSend()
}

type stream struct {
	grpc.ClientStream
	msg *echopb.Echo
}

// Send implements workload.Stream.
func (s *stream) Send() error { return s.SendMsg(s.msg) }

// Recv implements workload.Stream.
func (s *stream) Recv() ([]byte, error) {
	m := new(echopb.Echo)
	if err := s.RecvMsg(m); err != nil {
		return nil, err
	}
	return m.GetPayload(), nil
}
