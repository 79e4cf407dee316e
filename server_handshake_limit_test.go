//go:build go1.25

package ttrpc

import (
	"context"
	"errors"
	"net"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// A handshaker may return a connection whose Close waits, together with an error. The
// accepted connection is refused and forgotten all the same.
func TestHandshakeSlowClose(t *testing.T) {
	bubble(t, func(t *testing.T) {
		goOn := make(chan struct{})
		rec := newLogRecorder()
		st, p := serverPeer(t, WithServerLogger(rec),
			WithServerHandshaker(handshakeFunc(func(_ context.Context, nc net.Conn) (net.Conn, any, error) {
				return &slowToClose{Conn: nc, closed: make(chan struct{}), goOn: goOn}, nil, errors.New("refused")
			})))
		time.Sleep(2 * lingerLimit)
		p.wantClosed("refused")
		st.server.mu.Lock()
		if n := len(st.server.conns); n != 0 {
			t.Errorf("%d connections are in the table", n)
		}
		st.server.mu.Unlock()
		close(goOn)
	})
}

// A handshaker that ignores both its context and its connection keeps only its goroutine.
// At the limit, or when the server ends, the connection is refused and forgotten. The later
// end of the handshaker changes nothing, and the connection that it returns is closed.
func TestHandshakeIgnoresItsEnd(t *testing.T) {
	for name, end := range map[string]struct {
		f     func(*Server)
		after time.Duration
		log   string // text of the only line, nothing for none
	}{
		"limit":    {func(*Server) {}, 3 * time.Second, "connection (*ttrpc.memConn) refused: handshake given up"},
		"Close":    {func(s *Server) { s.Close() }, 0, ""},
		"Shutdown": {func(s *Server) { go s.Shutdown(context.Background()) }, 0, ""},
	} {
		for returned, late := range map[string]func(nc net.Conn) (net.Conn, any, error){
			"a connection":           func(nc net.Conn) (net.Conn, any, error) { return nc, "late", nil },
			"an error":               func(net.Conn) (net.Conn, any, error) { return nil, nil, errors.New("late") },
			"a connection and error": func(nc net.Conn) (net.Conn, any, error) { return nc, nil, errors.New("late") },
			"nothing":                func(net.Conn) (net.Conn, any, error) { return nil, nil, nil },
			"a panic":                func(net.Conn) (net.Conn, any, error) { panic("late") },
			"no return":              func(net.Conn) (net.Conn, any, error) { runtime.Goexit(); return nil, nil, nil },
		} {
			end, late := end, late
			t.Run(name+", "+returned, func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					rec := newLogRecorder()
					release := make(chan struct{})
					replaced := make(chan struct{}) // closed when the connection that is returned is
					st, p := serverPeer(t, WithServerLogger(rec), WithServerHandshakeTimeout(3*time.Second),
						WithServerHandshaker(handshakeFunc(func(_ context.Context, nc net.Conn) (net.Conn, any, error) {
							<-release
							return late(&wrappedConn{nc, replaced})
						})))
					synctest.Wait()
					start := time.Now()
					end.f(st.server)
					time.Sleep(end.after)
					p.wantClosed(name)
					wantElapsed(t, name, start, end.after)
					check := func(when string) {
						t.Helper()
						if lines := rec.all(); end.log == "" && len(lines) != 0 ||
							end.log != "" && (len(lines) != 1 || !strings.Contains(lines[0], end.log)) {
							t.Errorf("%s: the log has %q, want %q alone", when, lines, end.log)
						}
						if err := st.server.Shutdown(context.Background()); err != nil {
							t.Errorf("%s: Shutdown: %v", when, err)
						}
					}
					check("the handshaker goes on")
					close(release)
					synctest.Wait()
					check("the handshaker has ended")
					if strings.HasPrefix(returned, "a connection") {
						select {
						case <-replaced:
						default:
							t.Error("the connection that came too late is open")
						}
					}
				})
			})
		}
	}
}

// The limit, the end of the server and the handshaker's return come at the same time. One
// of them decides, and at most one line is logged.
func TestHandshakeEndsAtOnce(t *testing.T) {
	for round := 0; round < 100; round++ {
		bubble(t, func(t *testing.T) {
			rec := newLogRecorder()
			const limit = time.Second
			st, p := serverPeer(t, WithServerLogger(rec), WithServerHandshakeTimeout(limit),
				WithServerHandshaker(handshakeFunc(func(_ context.Context, nc net.Conn) (net.Conn, any, error) {
					time.Sleep(limit)
					return nc, nil, nil
				})))
			synctest.Wait()
			time.Sleep(limit)
			if round%2 == 0 {
				st.server.Close()
			} else if err := st.server.Shutdown(context.Background()); err != nil {
				t.Error(err)
			}
			p.wantClosed("the end")
			if lines := rec.all(); len(lines) > 1 {
				t.Errorf("the log has %q", lines)
			}
		})
	}
}

// oddAddr is an address that a peer has chosen to look like another line.
type oddAddr struct{}

func (oddAddr) Network() string { return "unix" }
func (oddAddr) String() string  { return "/run/x\nttrpc: all is well" }

type oddlyNamedConn struct{ net.Conn }

func (oddlyNamedConn) RemoteAddr() net.Addr { return oddAddr{} }

// The log names the refused connection, on one line.
func TestHandshakeRefusalNamesConnection(t *testing.T) {
	bubble(t, func(t *testing.T) {
		rec := newLogRecorder()
		st := newServerTest(t, WithServerLogger(rec), WithServerHandshaker(handshakeFunc(
			func(context.Context, net.Conn) (net.Conn, any, error) { return nil, nil, errors.New("not you") })))
		near, far := memPipe(0)
		defer near.Close()
		st.l.hand(oddlyNamedConn{far})
		synctest.Wait()
		if got, want := strings.Join(rec.all(), "|"), `ttrpc: connection from "/run/x\nttrpc: all is well" refused: not you`; got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	})
}
