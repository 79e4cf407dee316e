//go:build go1.25

package ttrpc

import (
	"context"
	"errors"
	"net"
	"runtime"
	"testing"
	"testing/synctest"
	"time"
)

// acceptedConn returns a connection that a server has accepted, before its handshake, and
// the peer's end.
func acceptedConn(t *testing.T, opts ...ServerOpt) (sc *serverConn, peer *memConn) {
	t.Helper()
	s := newServer(t, nil, append(opts, WithServerLogger(discardLogger{}))...)
	near, far := memPipe(0)
	t.Cleanup(func() { near.Close() })
	return &serverConn{server: s, serving: s.newServing(context.Background()), nc: far}, near
}

func (sc *serverConn) isRefused() bool {
	sc.server.mu.Lock()
	defer sc.server.mu.Unlock()
	return sc.refused
}

// The context of a handshake ends with the handshake, which refuses nothing if it is in
// time.
func TestHandshakeEndsItsContext(t *testing.T) {
	for name, f := range map[string]func(){"return": func() {}, "Goexit": runtime.Goexit} {
		bubble(t, func(t *testing.T) {
			var ctx context.Context
			sc, _ := acceptedConn(t, WithServerHandshaker(handshakeFunc(func(c context.Context, nc net.Conn) (net.Conn, any, error) {
				ctx = c
				f()
				return nc, nil, nil
			})))
			go sc.handshake()
			synctest.Wait()
			if ctx.Err() == nil {
				t.Errorf("%s: the context of the handshake goes on", name)
			}
			if sc.isRefused() {
				t.Errorf("%s: the handshake has refused the connection", name)
			}
		})
	}
}

// A handshake that ends after its limit fails: with its own error, if it has one.
func TestLateHandshakeFails(t *testing.T) {
	own := errors.New("the handshaker's own")
	for _, err := range []error{nil, own} {
		bubble(t, func(t *testing.T) {
			sc, _ := acceptedConn(t, WithServerHandshakeTimeout(time.Second), WithServerHandshaker(handshakeFunc(
				func(ctx context.Context, nc net.Conn) (net.Conn, any, error) {
					time.Sleep(2 * time.Second)
					return nc, nil, err
				})))
			_, _, got := sc.handshake()
			if err == nil && !errors.Is(got, context.DeadlineExceeded) || err != nil && got != err {
				t.Errorf("the handshaker returns %v: got %v", err, got)
			}
		})
	}
}

// A connection that was refused during its handshake does not start, and the connection
// that the handshaker returns is closed.
func TestRefusedConnDoesNotStart(t *testing.T) {
	bubble(t, func(t *testing.T) {
		closed := make(chan struct{})
		var sc *serverConn
		sc, _ = acceptedConn(t, WithServerHandshaker(handshakeFunc(func(_ context.Context, nc net.Conn) (net.Conn, any, error) {
			sc.refuse(errors.New("refused meanwhile"))
			return &wrappedConn{nc, closed}, nil, nil
		})))
		if sc.establish() || sc.conn != nil {
			t.Error("a refused connection has started")
		}
		within(t, "the end of the handshaker's connection", closed)
	})
}

// The end of a server refuses a connection whose handshake has not begun. A handshake that
// begins later ends at once.
func TestHandshakeAfterEnd(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sc, peer := acceptedConn(t)
		sc.abandonHandshake()
		synctest.Wait()
		if !sc.isRefused() || !peer.ended() {
			t.Error("the connection is left")
		}
		sc, _ = acceptedConn(t)
		sc.server.Close()
		aborted := false
		sc.setAbort(func() { aborted = true })
		if !aborted {
			t.Error("the handshake goes on")
		}
		if err := sc.start(sc.nc, nil); err != ErrServerClosed {
			t.Errorf("start: got %v, want ErrServerClosed", err)
		}
	})
}
