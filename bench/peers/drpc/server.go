package main

import (
	"context"
	"errors"
	"io"
	"net"

	echopb "github.com/containerd/ttrpc/bench/messages/pb"
	"github.com/containerd/ttrpc/bench/workload"
	"storj.io/drpc"
	"storj.io/drpc/drpcmetadata"
	"storj.io/drpc/drpcmux"
	"storj.io/drpc/drpcserver"
)

func serve(l net.Listener, o workload.Options) error {
	mux := drpcmux.New()
	if err := mux.Register(&server{}, description{}); err != nil {
		return err
	}
	var handler drpc.Handler = mux
	if o.Real {
		handler = interceptor{mux}
	}
	return drpcserver.New(handler).Serve(context.Background(), l)
}

// interceptor wraps the mux: drpc has no interceptors of its own.
type interceptor struct{ drpc.Handler }

func (i interceptor) HandleRPC(st drpc.Stream, rpc string) error {
	md, _ := drpcmetadata.Get(st.Context())
	if err := workload.CheckMetadata(md[workload.MetadataKey]); err != nil {
		return err
	}
	return i.Handler.HandleRPC(st, rpc)
}

type server struct{}

func (s *server) Echo(_ context.Context, req *echopb.Echo) (*echopb.Echo, error) {
	return handle(workload.Echo, req)
}

func (s *server) Burn(_ context.Context, req *echopb.Echo) (*echopb.Echo, error) {
	return handle(workload.Burn, req)
}

func (s *server) Block(_ context.Context, req *echopb.Echo) (*echopb.Echo, error) {
	return handle(workload.Block, req)
}

func handle(method workload.Method, req *echopb.Echo) (*echopb.Echo, error) {
	payload, err := workload.Handle(method, req.GetPayload())
	return &echopb.Echo{Payload: payload}, err
}

func (s *server) ServerStream(req *echopb.Echo, st drpc.Stream) error {
	spec := workload.DecodeStreamSpec(req.GetPayload())
	msg := &echopb.Echo{Payload: make([]byte, spec.Size)}
	for range spec.Messages {
		if err := st.MsgSend(msg, encoding{}); err != nil {
			return err
		}
	}
	return nil
}

func (s *server) ClientStream(st drpc.Stream) error {
	for n := 0; ; n++ {
		err := st.MsgRecv(new(echopb.Echo), encoding{})
		if errors.Is(err, io.EOF) {
			return st.MsgSend(&echopb.Echo{Payload: workload.EncodeCount(n)}, encoding{})
		}
		if err != nil {
			return err
		}
	}
}

func (s *server) BidiStream(st drpc.Stream) error {
	for {
		msg := new(echopb.Echo)
		err := st.MsgRecv(msg, encoding{})
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := st.MsgSend(msg, encoding{}); err != nil {
			return err
		}
	}
}

// description tells the mux the methods, as a generated one does.
type description struct{}

func (description) NumMethods() int { return 6 }

func (description) Method(n int) (string, drpc.Encoding, drpc.Receiver, any, bool) {
	unary := func(name string, f func(*server, context.Context, *echopb.Echo) (*echopb.Echo, error)) (string, drpc.Encoding, drpc.Receiver, any, bool) {
		return service + name, encoding{}, func(srv any, ctx context.Context, in1, _ any) (drpc.Message, error) {
			return f(srv.(*server), ctx, in1.(*echopb.Echo))
		}, f, true
	}
	streaming := func(name string, f func(*server, drpc.Stream) error) (string, drpc.Encoding, drpc.Receiver, any, bool) {
		return service + name, encoding{}, func(srv any, _ context.Context, in1, _ any) (drpc.Message, error) {
			return nil, f(srv.(*server), in1.(drpc.Stream))
		}, f, true
	}
	switch n {
	case 0:
		return unary(string(workload.Echo), (*server).Echo)
	case 1:
		return unary(string(workload.Burn), (*server).Burn)
	case 2:
		return unary(string(workload.Block), (*server).Block)
	case 3:
		return service + string(workload.ServerStream), encoding{}, func(srv any, _ context.Context, in1, in2 any) (drpc.Message, error) {
			return nil, srv.(*server).ServerStream(in1.(*echopb.Echo), in2.(drpc.Stream))
		}, (*server).ServerStream, true
	case 4:
		return streaming(string(workload.ClientStream), (*server).ClientStream)
	case 5:
		return streaming(string(workload.BidiStream), (*server).BidiStream)
	}
	return "", nil, nil, nil, false
}
