package main

import (
	"context"
	"sync"
	"sync/atomic"

	echopb "github.com/containerd/ttrpc/bench/messages/pb"
	"github.com/containerd/ttrpc/bench/workload"
	"storj.io/drpc"
	"storj.io/drpc/drpcconn"
	"storj.io/drpc/drpcmetadata"
)

type conn struct {
	// mu lets one call at a time on the connection, as drpc demands of its users.
	mu sync.Mutex
	drpc.Conn
	real bool
	// streaming is set for good when a bidirectional stream opens: in no case does
	// one end before its connection.
	streaming atomic.Bool
}

var errOneAtATime = workload.Unsupported("one call or stream at a time on a connection")

func dial(addr string, o workload.Options) (workload.Conn, error) {
	tr, err := o.Connection.Dial(addr)
	if err != nil {
		return nil, err
	}
	var c drpc.Conn = drpcconn.New(tr)
	if o.Real {
		c = intercepted{c}
	}
	return &conn{Conn: c, real: o.Real}, nil
}

// intercepted wraps a connection: drpc has no interceptors of its own.
type intercepted struct{ drpc.Conn }

func (c intercepted) Invoke(ctx context.Context, rpc string, enc drpc.Encoding, in, out drpc.Message) error {
	if err := workload.CheckMethod(rpc); err != nil {
		return err
	}
	return c.Conn.Invoke(ctx, rpc, enc, in, out)
}

// Unary implements workload.Conn.
func (c *conn) Unary(method workload.Method, payload []byte) workload.Call {
	req := &echopb.Echo{Payload: payload}
	rpc := service + string(method)
	return func(ctx context.Context) ([]byte, error) {
		if method == workload.Hold || c.streaming.Load() {
			return nil, errOneAtATime
		}
		if c.real {
			ctx = drpcmetadata.Add(ctx, workload.MetadataKey, workload.MetadataValue)
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		resp := new(echopb.Echo)
		if err := c.Invoke(ctx, rpc, encoding{}, req, resp); err != nil {
			return nil, err
		}
		return resp.GetPayload(), nil
	}
}

// Stream implements workload.Conn.
func (c *conn) Stream(ctx context.Context, kind workload.StreamKind, payload []byte) (workload.Stream, error) {
	// An AwayStream has calls beside it.
	if kind == workload.AwayStream || c.streaming.Swap(kind == workload.BidiStream) {
		return nil, errOneAtATime
	}
	st, err := c.NewStream(ctx, service+string(kind), encoding{})
	if err != nil {
		return nil, err
	}
	s := &sending{st, &echopb.Echo{Payload: payload}}
	if kind != workload.ServerStream {
		return s, nil
	}
	if err := s.Send(); err != nil {
		return nil, err
	}
	return s, s.CloseSend()
}
