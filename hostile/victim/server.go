package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"regexp"
	"time"

	"github.com/containerd/ttrpc"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

const service = "hostile.Victim"

// napTime is how long a handler goes on that does not look at its context.
const napTime = 6 * time.Second

type server struct{ s *ttrpc.Server }

func serve(socket string, opts []ttrpc.ServerOpt) (victim, error) {
	l, err := net.Listen("unix", socket)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(socket, 0o777); err != nil { // attackers have another user id
		return nil, err
	}
	s, err := ttrpc.NewServer(opts...)
	if err != nil {
		return nil, err
	}
	s.RegisterService(service, &ttrpc.ServiceDesc{Methods: methods(), Streams: streams()})
	go func() {
		if err := s.Serve(context.Background(), l); !errors.Is(err, ttrpc.ErrServerClosed) {
			fmt.Fprintln(os.Stderr, "victim: Serve:", err)
			os.Exit(1)
		}
	}()
	return &server{s}, nil
}

func (v *server) close() { v.s.Close() }

func (v *server) observe(*figures) {}

func methods() map[string]ttrpc.Method {
	return map[string]ttrpc.Method{
		"Echo": withBytes(func(_ context.Context, b []byte) (interface{}, error) { return wrapperspb.Bytes(b), nil }),
		"Block": withBytes(func(ctx context.Context, _ []byte) (interface{}, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}),
		// Nap is a handler that is at work and does not look at its context.
		"Nap": func(context.Context, func(interface{}) error) (interface{}, error) {
			time.Sleep(napTime)
			return wrapperspb.Bytes(nil), nil
		},
		// Late is one that decodes its request after that.
		"Late": func(_ context.Context, unmarshal func(interface{}) error) (interface{}, error) {
			time.Sleep(napTime)
			m := &wrapperspb.BytesValue{}
			return m, unmarshal(m)
		},
		"Big": withBytes(func(context.Context, []byte) (interface{}, error) {
			return wrapperspb.Bytes(make([]byte, 1<<20)), nil
		}),
		"Panic": withBytes(func(_ context.Context, b []byte) (interface{}, error) { panic(string(b)) }),
		"Regexp": withBytes(func(_ context.Context, b []byte) (interface{}, error) {
			return nil, fmt.Errorf("%v", regexp.MustCompile(string(b)))
		}),
		"Nested": func(_ context.Context, unmarshal func(interface{}) error) (interface{}, error) {
			m := &structpb.Value{}
			return m, unmarshal(m)
		},
	}
}

// withBytes makes a method of a handler of bytes.
func withBytes(f func(context.Context, []byte) (interface{}, error)) ttrpc.Method {
	return func(ctx context.Context, unmarshal func(interface{}) error) (interface{}, error) {
		m := &wrapperspb.BytesValue{}
		if err := unmarshal(m); err != nil {
			return nil, err
		}
		return f(ctx, m.GetValue())
	}
}

func streams() map[string]ttrpc.Stream {
	return map[string]ttrpc.Stream{
		"Stream": {StreamingClient: true, StreamingServer: true, Handler: func(_ context.Context, ss ttrpc.StreamServer) (interface{}, error) {
			for {
				m := &wrapperspb.BytesValue{}
				if err := ss.RecvMsg(m); err == io.EOF {
					return nil, nil
				} else if err != nil {
					return nil, err
				}
				if err := ss.SendMsg(m); err != nil {
					return nil, err
				}
			}
		}},
		// Hoard receives nothing.
		"Hoard": {StreamingClient: true, StreamingServer: true, Handler: func(ctx context.Context, _ ttrpc.StreamServer) (interface{}, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}},
		// Flood sends for as long as it can.
		"Flood": {StreamingServer: true, Handler: func(_ context.Context, ss ttrpc.StreamServer) (interface{}, error) {
			for m := wrapperspb.Bytes(make([]byte, 64<<10)); ; {
				if err := ss.SendMsg(m); err != nil {
					return nil, err
				}
			}
		}},
	}
}
