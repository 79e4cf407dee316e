//go:build go1.25

package ttrpc

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// passwordHandshake waits for a byte, as a handshake that needs the peer does.
func passwordHandshake(_ context.Context, nc net.Conn) (net.Conn, any, error) {
	var b [1]byte
	if _, err := io.ReadFull(nc, b[:]); err != nil {
		return nil, nil, err
	}
	if b[0] != 'p' {
		return nil, nil, errors.New("wrong password")
	}
	return nc, "somebody", nil
}

// A handshake that hangs holds up nobody, and ends at its limit.
func TestHandshakeHangs(t *testing.T) {
	for name, opts := range map[string][]ServerOpt{
		"default": nil,
		"option":  {WithServerHandshakeTimeout(2 * time.Second)},
	} {
		opts, limit := opts, defaultHandshakeTimeout
		if opts != nil {
			limit = 2 * time.Second
		}
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				log := &testLogger{}
				st := newServerTest(t, append(opts, WithServerHandshaker(handshakerFunc(passwordHandshake)), WithServerLogger(log))...)
				start := time.Now()
				silent := st.dial()
				for i := 0; i < 3; i++ {
					p := st.dial()
					p.sendBytes([]byte("p"))
					p.alive("another connection", 1)
				}
				wrong := st.dial()
				wrong.sendBytes([]byte("x"))
				wrong.wantClosed("the wrong password")
				time.Sleep(time.Until(start.Add(limit - 2*tick)))
				silent.wantNothing("before the limit")
				time.Sleep(2 * tick)
				silent.wantClosed("the limit")
				log.want(t, "wrong password", "refused")
			})
		})
	}
}

// A handshaker that waits for its context alone.
func TestHandshakeContext(t *testing.T) {
	hang := handshakerFunc(func(ctx context.Context, nc net.Conn) (net.Conn, any, error) {
		<-ctx.Done()
		return nc, nil, nil // too late to be any good
	})
	for name, end := range map[string]struct {
		f     func(*Server)
		after time.Duration
	}{
		"limit":    {func(*Server) {}, defaultHandshakeTimeout},
		"Close":    {func(s *Server) { s.Close() }, 0},
		"Shutdown": {func(s *Server) { s.Shutdown(context.Background()) }, 0},
	} {
		end := end
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				st, p := serverPeer(t, WithServerHandshaker(hang), WithServerLogger(&testLogger{}))
				synctest.Wait()
				start := time.Now()
				end.f(st.server)
				time.Sleep(end.after)
				p.wantClosed(name)
				wantElapsed(t, name, start, end.after)
				st.server.mu.Lock()
				defer st.server.mu.Unlock()
				if n := len(st.server.conns); n > 0 {
					t.Errorf("the server still knows %d connections", n)
				}
			})
		})
	}
}

// wrappedConn is the result of a handshake such as TLS in place of its argument.
type wrappedConn struct {
	net.Conn
	closed chan struct{} // closed by Close
}

func (c *wrappedConn) Close() error {
	close(c.closed)
	return c.Conn.Close()
}

func TestHandshakeReplacesConn(t *testing.T) {
	bubble(t, func(t *testing.T) {
		closed := make(chan struct{})
		st, p := serverPeer(t, WithServerHandshaker(handshakerFunc(func(_ context.Context, nc net.Conn) (net.Conn, any, error) {
			return &wrappedConn{nc, closed}, "somebody", nil
		})))
		call := st.start(p, request(1, "Hold", 0, nil))
		if who, ok := PeerFromContext(call.ctx); who != "somebody" || !ok {
			t.Errorf("PeerFromContext: got %v, %v", who, ok)
		}
		call.returns(nil, status.Error(codes.Aborted, ""))
		p.wantStatus("over the connection that the handshaker returned", 1, codes.Aborted)
		p.conn.Close()
		<-closed
	})
}
