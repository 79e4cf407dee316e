// Package stream makes a peer of a release of ttrpc that has streams, v1.2 and
// later. The stubs have the shape of generated ones.
package stream

import (
	"context"
	"errors"
	"io"
	"net"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/bench/stubs/unary"
	"github.com/containerd/ttrpc/bench/workload"
)

// service has the streaming methods, beside unary.Service.
const service = "ttrpc.bench.Streams"

// Peer returns the peer.
func Peer[M any](m unary.Messages[M]) workload.Peer {
	return workload.Peer{
		Serve: func(l net.Listener, o workload.Options) error {
			srv, err := unary.NewServer(m, o)
			if err != nil {
				return err
			}
			srv.RegisterService(service, &ttrpc.ServiceDesc{Streams: map[string]ttrpc.Stream{
				string(workload.ServerStream): {Handler: handler[M]{m}.serverStream, StreamingServer: true},
				string(workload.ClientStream): {Handler: handler[M]{m}.clientStream, StreamingClient: true},
				string(workload.BidiStream):   {Handler: handler[M]{m}.bidi(workload.BidiStream), StreamingClient: true, StreamingServer: true},
				string(workload.AwayStream):   {Handler: handler[M]{m}.bidi(workload.AwayStream), StreamingClient: true, StreamingServer: true},
			}})
			return srv.Serve(context.Background(), l)
		},
		Dial: func(addr string, o workload.Options) (workload.Conn, error) {
			c, err := unary.Dial(m, addr, o)
			return &conn[M]{c}, err
		},
	}
}

type handler[M any] struct{ m unary.Messages[M] }

func (h handler[M]) serverStream(_ context.Context, st ttrpc.StreamServer) (any, error) {
	req := new(M)
	if err := st.RecvMsg(req); err != nil {
		return nil, err
	}
	spec := workload.DecodeStreamSpec(h.m.Payload(req))
	msg := h.m.New(make([]byte, spec.Size))
	for range spec.Messages {
		if err := st.SendMsg(msg); err != nil {
			return nil, err
		}
	}
	return nil, nil
}

func (h handler[M]) clientStream(_ context.Context, st ttrpc.StreamServer) (any, error) {
	for n := 0; ; n++ {
		err := st.RecvMsg(new(M))
		if errors.Is(err, io.EOF) {
			return h.m.New(workload.EncodeCount(n)), nil
		}
		if err != nil {
			return nil, err
		}
	}
}

func (h handler[M]) bidi(kind workload.StreamKind) ttrpc.StreamHandler {
	return func(_ context.Context, st ttrpc.StreamServer) (any, error) {
		for n := 1; ; n++ {
			msg := new(M)
			err := st.RecvMsg(msg)
			if errors.Is(err, io.EOF) {
				return nil, nil
			}
			if err != nil {
				return nil, err
			}
			workload.HandleMessage(kind, n)
			if err := st.SendMsg(msg); err != nil {
				return nil, err
			}
		}
	}
}

type conn[M any] struct{ *unary.Conn[M] }

// Stream implements workload.Conn.
func (c *conn[M]) Stream(ctx context.Context, kind workload.StreamKind, payload []byte) (workload.Stream, error) {
	desc := &ttrpc.StreamDesc{
		StreamingClient: kind != workload.ServerStream,
		StreamingServer: kind != workload.ClientStream,
	}
	msg := c.Messages.New(payload)
	var req any
	if kind == workload.ServerStream {
		req = msg
	}
	st, err := c.Client.NewStream(ctx, desc, service, string(kind), req)
	if err != nil {
		return nil, err
	}
	return &stream[M]{st, msg, c.Messages.Payload}, nil
}

type stream[M any] struct {
	ttrpc.ClientStream
	msg     *M
	payload func(*M) []byte
}

// Send implements workload.Stream.
func (s *stream[M]) Send() error { return s.SendMsg(s.msg) }

// Recv implements workload.Stream.
func (s *stream[M]) Recv() ([]byte, error) {
	m := new(M)
	if err := s.RecvMsg(m); err != nil {
		return nil, err
	}
	return s.payload(m), nil
}
