package ttrpc

import (
	"context"
	"net"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// A handshaker that reads plainly may be held up by a descriptor of the peer's, in a system
// call that has emptied the socket. Close and Shutdown do not wait for it.
func TestHeldHandshakerHoldsUpNothing(t *testing.T) {
	for name, stop := range map[string]func(*Server) error{
		"Close": (*Server).Close,
		"Shutdown": func(s *Server) error {
			ctx, cancel := context.WithTimeout(context.Background(), lingerBound/3)
			defer cancel()
			return s.Shutdown(ctx)
		},
	} {
		stop := stop
		t.Run(name, func(t *testing.T) {
			passed := make(chan struct{})
			s := newServer(t, nil, WithServerLogger(newLogRecorder()), WithServerHandshaker(handshakeFunc(
				func(_ context.Context, nc net.Conn) (net.Conn, any, error) {
					<-passed // the descriptor that the read closes is the last one of its socket
					_, err := nc.Read(make([]byte, 1))
					return nc, nil, err
				})))
			l, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
			if err != nil {
				t.Fatal(err)
			}
			served := goErr(func() error { return s.Serve(context.Background(), l) })
			nc := dialRaw(t, l.Addr().String()).(*net.UnixConn)
			if err := pass(t, nc, []byte("x")); err != nil {
				t.Fatal(err)
			}
			close(passed)
			waitFor(t, "the handshaker to take the byte", func() bool { return unsent(t, nc) == 0 })
			wantQuick(t, name, func() { stop(s) })
			within(t, "Serve", served)
		})
	}
}

// unsent returns how many bytes the peer of a Unix socket has not read.
func unsent(t *testing.T, nc *net.UnixConn) (n int) {
	t.Helper()
	raw, err := nc.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	raw.Control(func(fd uintptr) { n, err = unix.IoctlGetInt(int(fd), unix.SIOCOUTQ) })
	if err != nil {
		t.Fatal(err)
	}
	return n
}
