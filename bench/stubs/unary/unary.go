// Package unary makes a peer of any release of ttrpc and either kind of messages,
// with unary calls only: it uses nothing that v1.0.2 does not have. The stubs
// have the shape of generated ones.
package unary

import (
	"context"
	"net"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/bench/workload"
)

// Service is the name of the service.
const Service = "ttrpc.bench.Bench"

// Messages says how to use a type of message.
type Messages[M any] struct {
	New     func(payload []byte) *M
	Payload func(*M) []byte
}

// Peer returns the peer.
func Peer[M any](m Messages[M]) workload.Peer {
	return workload.Peer{
		Serve: func(l net.Listener, o workload.Options) error {
			srv, err := NewServer(m, o)
			if err != nil {
				return err
			}
			return srv.Serve(context.Background(), l)
		},
		Dial: func(addr string, o workload.Options) (workload.Conn, error) {
			return Dial(m, addr, o)
		},
	}
}

// ServerOptions and ClientOptions are of all servers and clients. A peer sets them before
// it runs.
var (
	ServerOptions []ttrpc.ServerOpt
	ClientOptions []ttrpc.ClientOpts
)

// NewServer returns a server of the unary methods.
func NewServer[M any](m Messages[M], o workload.Options) (*ttrpc.Server, error) {
	opts := ServerOptions[:len(ServerOptions):len(ServerOptions)]
	if o.Real {
		opts = append(opts, ttrpc.WithUnaryServerInterceptor(intercept))
	}
	srv, err := ttrpc.NewServer(opts...)
	if err != nil {
		return nil, err
	}
	methods := make(map[string]ttrpc.Method)
	for _, method := range workload.Methods {
		methods[string(method)] = func(ctx context.Context, unmarshal func(any) error) (any, error) {
			req := new(M)
			if err := unmarshal(req); err != nil {
				return nil, err
			}
			payload, err := workload.Handle(method, m.Payload(req))
			if err != nil {
				return nil, err
			}
			return m.New(payload), nil
		}
	}
	srv.Register(Service, methods)
	return srv, nil
}

func intercept(ctx context.Context, unmarshal ttrpc.Unmarshaler, _ *ttrpc.UnaryServerInfo, method ttrpc.Method) (any, error) {
	value, _ := ttrpc.GetMetadataValue(ctx, workload.MetadataKey)
	if err := workload.CheckMetadata(value); err != nil {
		return nil, err
	}
	return method(ctx, unmarshal)
}

// Conn is a client's connection.
type Conn[M any] struct {
	Client   *ttrpc.Client
	Messages Messages[M]
	real     bool
}

// Dial opens one.
func Dial[M any](m Messages[M], addr string, o workload.Options) (*Conn[M], error) {
	conn, err := o.Connection.Dial(addr)
	if err != nil {
		return nil, err
	}
	opts := ClientOptions[:len(ClientOptions):len(ClientOptions)]
	if o.Real {
		opts = append(opts, ttrpc.WithUnaryClientInterceptor(
			func(ctx context.Context, req *ttrpc.Request, resp *ttrpc.Response, info *ttrpc.UnaryClientInfo, invoke ttrpc.Invoker) error {
				if err := workload.CheckMethod(info.FullMethod); err != nil {
					return err
				}
				return invoke(ctx, req, resp)
			}))
	}
	return &Conn[M]{Client: ttrpc.NewClient(conn, opts...), Messages: m, real: o.Real}, nil
}

// Unary implements workload.Conn.
func (c *Conn[M]) Unary(method workload.Method, payload []byte) workload.Call {
	req := c.Messages.New(payload)
	return func(ctx context.Context) ([]byte, error) {
		if c.real {
			ctx = ttrpc.WithMetadata(ctx, ttrpc.MD{workload.MetadataKey: {workload.MetadataValue}})
		}
		resp := new(M)
		if err := c.Client.Call(ctx, Service, string(method), req, resp); err != nil {
			return nil, err
		}
		return c.Messages.Payload(resp), nil
	}
}

// Stream implements workload.Conn.
func (c *Conn[M]) Stream(context.Context, workload.StreamKind, []byte) (workload.Stream, error) {
	return nil, workload.Unsupported("no streams")
}

// Close implements workload.Conn.
func (c *Conn[M]) Close() error { return c.Client.Close() }
