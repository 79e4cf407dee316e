package ttrpc

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"
)

// servePipe serves one end of a pipe with s, and returns a client on the other end and the
// result of ServeConn.
func servePipe(t *testing.T, s *Server, ctx context.Context) (*Client, <-chan error) {
	t.Helper()
	ours, theirs := net.Pipe()
	served := goErr(func() error { return s.ServeConn(ctx, theirs) })
	c := NewClient(ours)
	t.Cleanup(func() { c.Close() })
	return c, served
}

// ServeConn serves until the client closes, and other connections go on.
func TestServeConn(t *testing.T) {
	s := newServer(t, echoMethods(), usuallyBusy)
	ctx := testContext(t)
	c, served := servePipe(t, s, ctx)
	other, otherServed := servePipe(t, s, ctx)
	for _, c := range []*Client{c, other} {
		if err := echo(ctx, c, "x"); err != nil {
			t.Fatal(err)
		}
	}
	c.Close()
	if err := within(t, "ServeConn", served); err != nil {
		t.Errorf("after the client's Close: got %v, want nil", err)
	}
	if err := echo(ctx, other, "x"); err != nil {
		t.Errorf("the other connection: %v", err)
	}
	s.mu.Lock()
	if n := len(s.conns); n != 1 {
		t.Errorf("the server has %d connections, want 1", n)
	}
	s.mu.Unlock()
	if err := s.Shutdown(ctx); err != nil {
		t.Fatal(err)
	}
	if err := within(t, "the other ServeConn", otherServed); err != ErrServerClosed {
		t.Errorf("after Shutdown: got %v, want ErrServerClosed", err)
	}
}

// A closed server closes any further connection at once.
func TestServeConnAfterClose(t *testing.T) {
	s := newServer(t, echoMethods(), usuallyBusy)
	s.Close()
	c, served := servePipe(t, s, context.Background())
	if err := within(t, "ServeConn", served); err != ErrServerClosed {
		t.Errorf("got %v, want ErrServerClosed", err)
	}
	within(t, "the client's end", c.Done())
}

// ServeConn returns the reason for which a handshake refused the connection. The end of the
// server ends a running handshake.
func TestServeConnHandshake(t *testing.T) {
	refused := errors.New("not you")
	s := newServer(t, echoMethods(), usuallyBusy, WithServerLogger(newLogRecorder()), WithServerHandshaker(handshakeFunc(
		func(context.Context, net.Conn) (net.Conn, any, error) { return nil, nil, refused })))
	c, served := servePipe(t, s, context.Background())
	if err := within(t, "ServeConn", served); !errors.Is(err, refused) {
		t.Errorf("got %v, want %v", err, refused)
	}
	within(t, "the client's end", c.Done())

	begun := make(chan struct{})
	s = newServer(t, echoMethods(), usuallyBusy, WithServerHandshaker(handshakeFunc(
		func(ctx context.Context, nc net.Conn) (net.Conn, any, error) {
			close(begun)
			<-ctx.Done()
			return nil, nil, ctx.Err()
		})))
	_, served = servePipe(t, s, context.Background())
	within(t, "the handshake", begun)
	s.Close()
	if err := within(t, "ServeConn", served); err != ErrServerClosed {
		t.Errorf("closed in a handshake: got %v, want ErrServerClosed", err)
	}
}

// The context is the parent of the handlers' contexts, and its end ends nothing else.
func TestServeConnContext(t *testing.T) {
	type key struct{}
	why := errors.New("why")
	started := make(chan any, 1)
	desc := echoMethods()
	desc.Methods["Wait"] = func(ctx context.Context, _ func(any) error) (any, error) {
		started <- ctx.Value(key{})
		<-ctx.Done()
		return nil, context.Cause(ctx)
	}
	s := newServer(t, desc, usuallyBusy)
	ctx, cancel := context.WithCancelCause(context.WithValue(context.Background(), key{}, "value"))
	c, served := servePipe(t, s, ctx)
	call := goErr(func() error { return c.Call(testContext(t), testService, "Wait", &KeyValue{}, &KeyValue{}) })
	if v := within(t, "the handler", started); v != "value" {
		t.Errorf("the handler's context has %v", v)
	}
	cancel(why)
	if err := within(t, "the call", call); err == nil {
		t.Error("the call succeeded")
	}
	if err := echo(testContext(t), c, "x"); err != nil {
		t.Errorf("the connection: %v", err)
	}
	c.Close()
	if err := within(t, "ServeConn", served); err != nil {
		t.Errorf("got %v", err)
	}
}

// ServeConn returns at the end of the connection, and does not wait for a running handler.
func TestServeConnLeavesHandlers(t *testing.T) {
	started, proceed, done := make(chan struct{}), make(chan struct{}), make(chan struct{})
	desc := &ServiceDesc{Methods: map[string]Method{"Wait": func(ctx context.Context, _ func(any) error) (any, error) {
		defer close(done)
		close(started)
		<-proceed
		return &KeyValue{}, nil
	}}}
	s := newServer(t, desc, usuallyBusy)
	c, served := servePipe(t, s, context.Background())
	call := goErr(func() error { return c.Call(context.Background(), testService, "Wait", &KeyValue{}, &KeyValue{}) })
	within(t, "the handler", started)
	c.Close()
	if err := within(t, "ServeConn", served); err != nil {
		t.Errorf("got %v", err)
	}
	if err := within(t, "the call", call); err != ErrClosed {
		t.Errorf("the call: got %v", err)
	}
	close(proceed)
	within(t, "the handler's end", done)
}

// ServeConn panics for a nil connection, as NewClient does, and also for a nil pointer.
func TestServeConnNil(t *testing.T) {
	s := newServer(t, echoMethods(), usuallyBusy)
	for _, nc := range []net.Conn{nil, (*net.UnixConn)(nil)} {
		func() {
			defer func() {
				if r := recover(); r != "ttrpc: nil connection" {
					t.Errorf("%T: got %v", nc, r)
				}
			}()
			s.ServeConn(context.Background(), nc)
		}()
	}
}

// ServeConn keeps goroutines of the server only while its connection exists.
func TestServeConnMany(t *testing.T) {
	s := newServer(t, echoMethods(), usuallyBusy)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for i := 0; i < 100; i++ {
		c, served := servePipe(t, s, ctx)
		if i%2 == 0 {
			if err := echo(ctx, c, "x"); err != nil {
				t.Fatal(err)
			}
		}
		c.Close()
		if err := within(t, "ServeConn", served); err != nil {
			t.Fatalf("connection %d: %v", i, err)
		}
	}
}

// ServeConn also returns for a connection beyond the limit, which does not count.
func TestServeConnTurnedAway(t *testing.T) {
	s := newServer(t, echoMethods(), usuallyBusy, WithServerMaxConns(1, 0), WithServerLogger(newLogRecorder()))
	c, served := servePipe(t, s, context.Background())
	if err := echo(testContext(t), c, "x"); err != nil {
		t.Fatal(err)
	}
	more, moreServed := servePipe(t, s, context.Background())
	err := within(t, "ServeConn of one connection more", moreServed)
	if err == nil || err.Error() != "more than 1 connection" {
		t.Errorf("got %v", err)
	}
	within(t, "the end of that", more.Done())
	c.Close()
	if err := within(t, "ServeConn", served); err != nil {
		t.Errorf("one that was let in: %v", err)
	}
}
