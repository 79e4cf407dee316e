package ttrpc

import (
	"context"
	"errors"
	"io"
	"net"
	"runtime"
	"sync/atomic"
	"testing"
	"time"
)

// handshakeFunc is a Handshaker.
type handshakeFunc func(context.Context, net.Conn) (net.Conn, any, error)

func (f handshakeFunc) Handshake(ctx context.Context, nc net.Conn) (net.Conn, any, error) {
	return f(ctx, nc)
}

// peerService answers with the result of PeerFromContext.
func peerService() *ServiceDesc {
	peer := func(ctx context.Context) (any, error) {
		p, ok := PeerFromContext(ctx)
		s, _ := p.(string)
		if !ok {
			s = "none"
		}
		return &KeyValue{Value: s}, nil
	}
	return &ServiceDesc{
		Methods: map[string]Method{"Peer": func(ctx context.Context, _ func(any) error) (any, error) { return peer(ctx) }},
		Streams: map[string]Stream{"PeerStream": {StreamingClient: true, Handler: func(ctx context.Context, _ StreamServer) (any, error) {
			ctx, cancel := context.WithCancel(ctx) // it is found in contexts that are derived
			defer cancel()
			return peer(ctx)
		}}},
	}
}

// The server uses the results of the handshaker: the connection instead of the accepted
// one, and the value in the contexts of handlers.
func TestHandshakeResult(t *testing.T) {
	for _, peer := range []any{"the peer", nil} {
		var read atomic.Int64
		_, addr := newTestServer(t, peerService(), WithServerHandshaker(handshakeFunc(
			func(_ context.Context, nc net.Conn) (net.Conn, any, error) {
				return &countingConn{Conn: nc, read: &read}, peer, nil
			})))
		c := dialTest(t, addr)
		want := "none"
		if peer != nil {
			want = "the peer"
		}
		var resp KeyValue
		if err := c.Call(testContext(t), testService, "Peer", &KeyValue{}, &resp); err != nil || resp.Value != want {
			t.Errorf("unary: got %q, %v, want %q", resp.Value, err, want)
		}
		cs, err := c.NewStream(testContext(t), &StreamDesc{StreamingClient: true}, testService, "PeerStream", nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := cs.RecvMsg(&resp); err != nil || resp.Value != want {
			t.Errorf("stream: got %q, %v, want %q", resp.Value, err, want)
		}
		if read.Load() == 0 {
			t.Error("the connection that the handshaker returned was not used")
		}
	}
	if p, ok := PeerFromContext(context.Background()); ok {
		t.Errorf("outside of a handler there is a peer: %v", p)
	}
}

type countingConn struct {
	net.Conn
	read *atomic.Int64
}

func (c *countingConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.read.Add(int64(n))
	return n, err
}

// A connection that the handshaker refuses is closed, the log has the reason, and the
// server goes on.
func TestHandshakeRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		handshake handshakeFunc
		log       []string
	}{
		"error": {
			func(context.Context, net.Conn) (net.Conn, any, error) { return nil, nil, errors.New("not you") },
			[]string{"connection ", " refused: not you"},
		},
		"error and a connection": {
			func(_ context.Context, nc net.Conn) (net.Conn, any, error) { return nc, "x", errors.New("not you") },
			[]string{"connection ", " refused: not you"},
		},
		"no connection": {
			func(context.Context, net.Conn) (net.Conn, any, error) { return nil, "x", nil },
			[]string{"the handshaker returned no connection"},
		},
		"panic": {
			func(context.Context, net.Conn) (net.Conn, any, error) { panic("help") },
			[]string{"panic in handshake: help", "server_handshake_test.go"},
		},
		"Goexit": {
			func(context.Context, net.Conn) (net.Conn, any, error) { runtime.Goexit(); panic("unreachable") },
			[]string{"connection ", " refused: the handshaker ended its goroutine"},
		},
		"closes it": {
			func(_ context.Context, nc net.Conn) (net.Conn, any, error) { nc.Close(); return nc, nil, nil },
			nil, // admitted, and gone at once
		},
	} {
		t.Run(name, func(t *testing.T) {
			rec := newLogRecorder()
			var count atomic.Int64
			s, addr := newTestServer(t, echoMethods(), WithServerLogger(rec), WithServerHandshaker(handshakeFunc(
				func(ctx context.Context, nc net.Conn) (net.Conn, any, error) {
					if count.Add(1) == 1 {
						return test.handshake(ctx, nc)
					}
					return nc, nil, nil
				})))
			refused := dialWire(t, addr)
			if f, err := refused.tryRead(); err != io.EOF {
				t.Errorf("the refused connection: got %v, %v, want EOF", f.header, err)
			}
			if test.log != nil {
				rec.wait(t, test.log...)
			}
			if lines := rec.all(); len(lines) > 1 {
				t.Errorf("more than one line in the log: %q", lines)
			}
			c := dialTest(t, addr)
			if err := echo(testContext(t), c, "next"); err != nil {
				t.Errorf("the next connection: %v", err)
			}
			c.Close()
			serverIdle(t, s) // it has forgotten the refused one, too
		})
	}
}

// A call on a refused connection returns ErrClosed.
func TestHandshakeRefusedCall(t *testing.T) {
	_, addr := newTestServer(t, echoMethods(), WithServerLogger(newLogRecorder()), WithServerHandshaker(handshakeFunc(
		func(context.Context, net.Conn) (net.Conn, any, error) { return nil, nil, errors.New("not you") })))
	for i := 0; i < 20; i++ {
		if err := echo(testContext(t), dialTest(t, addr), "x"); err != ErrClosed {
			t.Errorf("got %v, want ErrClosed", err)
		}
	}
}

// If a handshaker returns an error and a connection, that connection is also closed.
func TestHandshakeClosesReplacement(t *testing.T) {
	ours, theirs := net.Pipe()
	_, addr := newTestServer(t, echoMethods(), WithServerLogger(newLogRecorder()), WithServerHandshaker(handshakeFunc(
		func(context.Context, net.Conn) (net.Conn, any, error) { return theirs, nil, errors.New("no") })))
	dialRaw(t, addr)
	if _, err := newWire(ours).tryRead(); err != io.EOF {
		t.Errorf("got %v, want EOF", err)
	}
}

// A peer that sends nothing is refused at the limit, whether the handshaker waits for the
// peer or for its context. A handshake that succeeds too late does not count.
func TestHandshakeTimeout(t *testing.T) {
	const limit = 30 * time.Millisecond
	for name, handshake := range map[string]handshakeFunc{
		"waits for the peer": func(_ context.Context, nc net.Conn) (net.Conn, any, error) {
			_, err := nc.Read(make([]byte, 1))
			return nc, nil, err
		},
		"waits for its context": func(ctx context.Context, nc net.Conn) (net.Conn, any, error) {
			<-ctx.Done()
			return nil, nil, ctx.Err()
		},
		"succeeds too late": func(ctx context.Context, nc net.Conn) (net.Conn, any, error) {
			<-ctx.Done()
			return nc, nil, nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			rec := newLogRecorder()
			s, addr := newTestServer(t, echoMethods(), WithServerLogger(rec),
				WithServerHandshakeTimeout(limit), WithServerHandshaker(handshake))
			start := time.Now()
			w := dialWire(t, addr)
			if f, err := w.tryRead(); err != io.EOF {
				t.Errorf("got %v, %v, want EOF", f.header, err)
			}
			if d := time.Since(start); d < limit {
				t.Errorf("given up after %v, before the limit of %v", d, limit)
			}
			rec.wait(t, "refused: ")
			serverIdle(t, s)
		})
	}
}

// There is a default limit, and an option changes it.
func TestHandshakeDeadline(t *testing.T) {
	for limit, opts := range map[time.Duration][]ServerOpt{
		10 * time.Second: nil,
		time.Hour:        {WithServerHandshakeTimeout(time.Hour)},
	} {
		left := make(chan time.Duration, 1)
		opts = append(opts, WithServerHandshaker(handshakeFunc(func(ctx context.Context, nc net.Conn) (net.Conn, any, error) {
			deadline, _ := ctx.Deadline()
			left <- time.Until(deadline)
			return nc, nil, nil
		})))
		_, addr := newTestServer(t, echoMethods(), opts...)
		dialTest(t, addr)
		if d := within(t, "handshake", left); d > limit || d < limit/2 {
			t.Errorf("a handshake has %v, want %v", d, limit)
		}
	}
}

// A slow peer holds up no other peer (10 of the regressions open upstream).
func TestSlowHandshakeBlocksNoOther(t *testing.T) {
	const slow = 20
	var count atomic.Int64
	waiting := make(chan struct{}, slow)
	_, addr := newTestServer(t, echoMethods(), WithServerLogger(newLogRecorder()), WithServerHandshaker(handshakeFunc(
		func(ctx context.Context, nc net.Conn) (net.Conn, any, error) {
			if count.Add(1) <= slow {
				waiting <- struct{}{}
				_, err := nc.Read(make([]byte, 1)) // the peer sends nothing
				return nc, nil, err
			}
			return nc, nil, nil
		})))
	for i := 0; i < slow; i++ {
		dialRaw(t, addr)
		within(t, "handshake", waiting)
	}
	for i := 0; i < 5; i++ {
		if err := echo(testContext(t), dialTest(t, addr), "x"); err != nil {
			t.Fatal(err)
		}
	}
}

// The end of Serve's context ends handlers, not connections: a running handshake goes on,
// and so do the calls after it.
func TestHandshakeOutlivesServeContext(t *testing.T) {
	started, proceed := make(chan struct{}), make(chan struct{})
	s := newServer(t, nil, WithServerLogger(newLogRecorder()), WithServerHandshaker(handshakeFunc(
		func(ctx context.Context, nc net.Conn) (net.Conn, any, error) {
			close(started)
			<-proceed
			return nc, nil, ctx.Err()
		})))
	s.RegisterService(testService, echoMethods())
	ctx, cancel := context.WithCancel(context.Background())
	c := serveTest(t, s, ctx)
	within(t, "handshake", started)
	cancel()
	close(proceed)
	if err := echo(testContext(t), c, "x"); err != nil {
		t.Errorf("a call: %v", err)
	}
}

// Shutdown and Close end the running handshakes.
func TestHandshakeEndsWithServer(t *testing.T) {
	for name, end := range map[string]func(*Server) error{
		"Close":    (*Server).Close,
		"Shutdown": func(s *Server) error { return s.Shutdown(testContext(t)) },
	} {
		for _, waits := range []func(context.Context, net.Conn) error{
			func(ctx context.Context, _ net.Conn) error { <-ctx.Done(); return ctx.Err() },
			func(_ context.Context, nc net.Conn) error { _, err := nc.Read(make([]byte, 1)); return err },
		} {
			waits := waits
			started, ended := make(chan struct{}), make(chan error, 1)
			s, addr := newTestServer(t, echoMethods(), WithServerHandshakeTimeout(time.Hour), WithServerHandshaker(handshakeFunc(
				func(ctx context.Context, nc net.Conn) (net.Conn, any, error) {
					close(started)
					err := waits(ctx, nc)
					ended <- err
					return nil, nil, err
				})))
			w := dialWire(t, addr)
			within(t, "handshake", started)
			if err := end(s); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if err := within(t, "end of the handshake", ended); err == nil {
				t.Errorf("%s: the handshake went on", name)
			}
			if _, err := w.tryRead(); err != io.EOF {
				t.Errorf("%s: got %v, want EOF", name, err)
			}
			serverIdle(t, s)
		}
	}
}
