package ttrpc

import (
	"context"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// lifecycleNets are the kinds of connections that a server may have to close
// under load.
var lifecycleNets = []struct {
	name   string
	listen func(t *testing.T) (l net.Listener, dial func() (net.Conn, error))
}{
	{"unix", func(t *testing.T) (net.Listener, func() (net.Conn, error)) {
		l := listen(t)
		return l, func() (net.Conn, error) { return dialLocal(l.Addr().String()) }
	}},
	{"tcp", func(t *testing.T) (net.Listener, func() (net.Conn, error)) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		return l, func() (net.Conn, error) { return net.Dial("tcp", l.Addr().String()) }
	}},
	{"memory", func(t *testing.T) (net.Listener, func() (net.Conn, error)) {
		l := newMemListener(10000)
		return l, func() (net.Conn, error) {
			if nc := l.dial(); nc != nil {
				return nc, nil
			}
			return nil, net.ErrClosed
		}
	}},
}

// refusedByShutdown reports whether a call that came too late may get err.
func refusedByShutdown(err error) bool {
	return err == ErrClosed || status.Code(err) == codes.Unavailable
}

// callIDs knows the calls whose handlers have started.
type callIDs struct {
	mu      sync.Mutex
	started map[string]bool
}

func (c *callIDs) start(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.started == nil {
		c.started = make(map[string]bool)
	}
	c.started[id] = true
}

func (c *callIDs) has(id string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.started[id]
}

func (c *callIDs) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.started)
}

// startLifecycle serves desc and returns the server and clients of it.
func startLifecycle(t *testing.T, desc *ServiceDesc,
	listen func(*testing.T) (net.Listener, func() (net.Conn, error)), conns int) (*Server, []*Client) {
	t.Helper()
	l, dial := listen(t)
	s := serveOn(t, l, desc, usuallyBusy)
	var clients []*Client
	for i := 0; i < conns; i++ {
		nc, err := dial()
		if err != nil {
			t.Fatal(err)
		}
		c := NewClient(nc)
		t.Cleanup(func() { c.Close() })
		clients = append(clients, c)
		if err := echo(testContext(t), c, "first"); err != nil {
			t.Fatal(err) // it is accepted now
		}
	}
	return s, clients
}

// streamRound sends and receives on a stream, and ends it.
func streamRound(ctx context.Context, c *Client, id string) error {
	cs, err := c.NewStream(ctx, &StreamDesc{StreamingClient: true, StreamingServer: true}, testService, "WorkStream", nil)
	if err != nil {
		return err
	}
	var m KeyValue
	for i := 0; i < 3; i++ {
		if err := cs.SendMsg(&KeyValue{Value: id}); err == io.EOF {
			return cs.RecvMsg(&m) // the server has refused it
		} else if err != nil {
			return err
		}
		if err := cs.RecvMsg(&m); err != nil {
			return err
		}
		if m.Value != id {
			return fmt.Errorf("stream %s received %s", id, m.Value)
		}
	}
	if err := cs.CloseSend(); err != nil {
		return err
	}
	if err := cs.RecvMsg(&m); err != io.EOF {
		return fmt.Errorf("at the end of a stream: %w", err)
	}
	return nil
}
