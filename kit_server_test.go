package ttrpc

import (
	"context"
	"net"
	"sync"
	"testing"
	"time"
)

// The servers of tests outside of bubbles. Those in bubbles have newServerTest.

// newServer returns a server with desc as its testService, or with none for nil. It is
// closed at the end of the test.
func newServer(t testing.TB, desc *ServiceDesc, opts ...ServerOpt) *Server {
	t.Helper()
	s, err := NewServer(append([]ServerOpt{alwaysBusy}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	if desc != nil {
		s.RegisterService(testService, desc)
	}
	return s
}

// serve has s serve l, with ctx as Serve's, until stop is called or the test ends. Serve
// has to return ErrServerClosed then.
func serve(t testing.TB, ctx context.Context, s *Server, l net.Listener) (stop func()) {
	t.Helper()
	served := goErr(func() error { return s.Serve(ctx, l) })
	stop = sync.OnceFunc(func() {
		s.Close()
		if err := within(t, "Serve", served); err != ErrServerClosed {
			t.Errorf("Serve: got %v, want ErrServerClosed", err)
		}
	})
	t.Cleanup(stop)
	return stop
}

// serveTest is serve on a local socket, and returns a client.
func serveTest(t testing.TB, s *Server, ctx context.Context, opts ...ClientOpts) *Client {
	t.Helper()
	l := listen(t)
	serve(t, ctx, s, l)
	return dialTest(t, l.Addr().String(), opts...)
}

// serveOn is newServer, which serves l.
func serveOn(t testing.TB, l net.Listener, desc *ServiceDesc, opts ...ServerOpt) *Server {
	t.Helper()
	s := newServer(t, desc, opts...)
	serve(t, context.Background(), s, l)
	return s
}

// newTestServer is serveOn for a local socket, whose address it returns.
func newTestServer(t testing.TB, desc *ServiceDesc, opts ...ServerOpt) (*Server, string) {
	t.Helper()
	l := listen(t)
	return serveOn(t, l, desc, opts...), l.Addr().String()
}

// newTestPair returns a client of a server with desc, over a local socket.
func newTestPair(t testing.TB, desc *ServiceDesc) (*Client, *Server) {
	t.Helper()
	s, addr := newTestServer(t, desc)
	return dialTest(t, addr), s
}

// alwaysBusy makes a server take all of its connections for busy ones, so that read loops
// run quick handlers.
func alwaysBusy(c *serverConfig) error {
	c.busyInterval = time.Hour
	return nil
}

// usuallyBusy undoes alwaysBusy.
func usuallyBusy(c *serverConfig) error {
	c.busyInterval = defaultBusyInterval
	return nil
}

// handshakerFunc is a Handshaker.
type handshakerFunc func(context.Context, net.Conn) (net.Conn, any, error)

func (f handshakerFunc) Handshake(ctx context.Context, nc net.Conn) (net.Conn, any, error) {
	return f(ctx, nc)
}
