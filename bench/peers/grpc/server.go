package main

import (
	"context"
	"errors"
	"io"
	"net"

	echopb "github.com/containerd/ttrpc/bench/messages/pb"
	"github.com/containerd/ttrpc/bench/workload"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
)

func serve(l net.Listener, o workload.Options) error {
	var opts []grpc.ServerOption
	if o.Real {
		opts = append(opts, grpc.UnaryInterceptor(intercept))
	}
	srv := grpc.NewServer(opts...)
	srv.RegisterService(description(), nil)
	return srv.Serve(l)
}

func intercept(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	var value string
	if v := metadata.ValueFromIncomingContext(ctx, workload.MetadataKey); len(v) > 0 {
		value = v[0]
	}
	if err := workload.CheckMetadata(value); err != nil {
		return nil, err
	}
	return handler(ctx, req)
}

func description() *grpc.ServiceDesc {
	desc := &grpc.ServiceDesc{
		ServiceName: "ttrpc.bench.Bench",
		Streams: []grpc.StreamDesc{
			{StreamName: string(workload.ServerStream), Handler: serverStream, ServerStreams: true},
			{StreamName: string(workload.ClientStream), Handler: clientStream, ClientStreams: true},
			{StreamName: string(workload.BidiStream), Handler: bidi(workload.BidiStream), ServerStreams: true, ClientStreams: true},
			{StreamName: string(workload.AwayStream), Handler: bidi(workload.AwayStream), ServerStreams: true, ClientStreams: true},
		},
	}
	for _, method := range workload.Methods {
		desc.Methods = append(desc.Methods, methodDesc(method))
	}
	return desc
}

func methodDesc(method workload.Method) grpc.MethodDesc {
	handle := func(_ context.Context, req any) (any, error) {
		payload, err := workload.Handle(method, req.(*echopb.Echo).GetPayload())
		return &echopb.Echo{Payload: payload}, err
	}
	info := &grpc.UnaryServerInfo{FullMethod: service + string(method)}
	return grpc.MethodDesc{
		MethodName: string(method),
		Handler: func(_ any, ctx context.Context, decode func(any) error, interceptor grpc.UnaryServerInterceptor) (any, error) {
			req := new(echopb.Echo)
			if err := decode(req); err != nil {
				return nil, err
			}
			if interceptor == nil {
				return handle(ctx, req)
			}
			return interceptor(ctx, req, info, handle)
		},
	}
}

func serverStream(_ any, st grpc.ServerStream) error {
	req := new(echopb.Echo)
	if err := st.RecvMsg(req); err != nil {
		return err
	}
	spec := workload.DecodeStreamSpec(req.GetPayload())
	msg := &echopb.Echo{Payload: make([]byte, spec.Size)}
	for range spec.Messages {
		if err := st.SendMsg(msg); err != nil {
			return err
		}
	}
	return nil
}

func clientStream(_ any, st grpc.ServerStream) error {
	for n := 0; ; n++ {
		err := st.RecvMsg(new(echopb.Echo))
		if errors.Is(err, io.EOF) {
			return st.SendMsg(&echopb.Echo{Payload: workload.EncodeCount(n)})
		}
		if err != nil {
			return err
		}
	}
}

func bidi(kind workload.StreamKind) grpc.StreamHandler {
	return func(_ any, st grpc.ServerStream) error {
		for n := 1; ; n++ {
			msg := new(echopb.Echo)
			err := st.RecvMsg(msg)
			if errors.Is(err, io.EOF) {
				return nil
			}
			if err != nil {
				return err
			}
			workload.HandleMessage(kind, n)
			if err := st.SendMsg(msg); err != nil {
				return err
			}
		}
	}
}
