package ttrpc

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// A gate is a service whose handlers wait until the test releases them.
type gate struct {
	started chan struct{} // receives when a handler has begun
	proceed chan struct{} // lets a handler go on, or all when closed
	ended   chan error    // receives the error of a handler's context if that ended it
}

func newGate() *gate {
	return &gate{make(chan struct{}, 100), make(chan struct{}), make(chan error, 100)}
}

func (g *gate) wait(ctx context.Context) error {
	g.started <- struct{}{}
	select {
	case <-g.proceed:
		return nil
	case <-ctx.Done():
		g.ended <- ctx.Err()
		return ctx.Err()
	}
}

func (g *gate) service() *ServiceDesc {
	desc := echoMethods()
	desc.Methods["Wait"] = func(ctx context.Context, _ func(any) error) (any, error) {
		return &KeyValue{Value: "waited"}, g.wait(ctx)
	}
	desc.Streams["WaitStream"] = Stream{StreamingServer: true, Handler: func(ctx context.Context, ss StreamServer) (any, error) {
		if err := g.wait(ctx); err != nil {
			return nil, err
		}
		return nil, ss.SendMsg(&KeyValue{Value: "waited"})
	}}
	return desc
}

// call makes a call to Wait, and returns when its handler has begun.
func (g *gate) call(t *testing.T, c *Client) <-chan error {
	t.Helper()
	result := goErr(func() error {
		var resp KeyValue
		err := c.Call(context.Background(), testService, "Wait", &KeyValue{}, &resp)
		if err == nil && resp.Value != "waited" {
			err = errors.New("another response")
		}
		return err
	})
	within(t, "handler", g.started)
	return result
}

// stream is call for WaitStream.
func (g *gate) stream(t *testing.T, c *Client) <-chan error {
	t.Helper()
	cs, err := c.NewStream(context.Background(), &StreamDesc{StreamingServer: true}, testService, "WaitStream", &KeyValue{})
	if err != nil {
		t.Fatal(err)
	}
	within(t, "handler", g.started)
	return goErr(func() error {
		var m KeyValue
		if err := cs.RecvMsg(&m); err != nil {
			return err
		}
		if err := cs.RecvMsg(&m); err != io.EOF {
			return err
		}
		return nil
	})
}

// Shutdown lets running calls finish and deliver their responses: a lone call on its
// connection, a stream, and calls beside refused frames (12, and 3 of the regressions open
// upstream). Idle connections are closed at once, new calls are refused, and at the end no
// connection is left.
func TestShutdown(t *testing.T) {
	g := newGate()
	s := newServer(t, g.service())
	idle := serveTest(t, s, context.Background())
	addr := idle.conn.ch.conn.RemoteAddr().String()
	if err := echo(testContext(t), idle, "x"); err != nil {
		t.Fatal(err)
	}
	lone, stream, rejected := dialTest(t, addr), dialTest(t, addr), dialTest(t, addr)
	results := []<-chan error{g.call(t, lone), g.stream(t, stream), g.call(t, rejected)}
	for i := 0; i < 100; i++ {
		if err := rejected.Call(testContext(t), testService, "NoMethod", &KeyValue{}, &KeyValue{}); status.Code(err) != codes.Unimplemented {
			t.Fatal(err)
		}
	}

	shutdown := goErr(func() error { return s.Shutdown(testContext(t)) })
	if err := idle.UserOnCloseWait(testContext(t)); err != nil {
		t.Errorf("the idle connection: %v", err)
	}
	for _, c := range []*Client{lone, stream, rejected} {
		// Draining begins a moment after Shutdown was called.
		waitFor(t, "refusal", func() bool {
			return status.Code(echo(testContext(t), c, "x")) == codes.Unavailable
		})
	}
	if nc, err := dialLocal(addr); err == nil {
		nc.Close()
		t.Error("a connection was accepted")
	}
	select {
	case err := <-shutdown:
		t.Fatalf("Shutdown returned %v with calls in flight", err)
	case err := <-g.ended:
		t.Fatalf("a handler's context ended with %v", err)
	default:
	}
	close(g.proceed)
	for _, result := range results {
		if err := within(t, "call", result); err != nil {
			t.Errorf("a call in flight: %v", err)
		}
	}
	if err := within(t, "Shutdown", shutdown); err != nil {
		t.Errorf("Shutdown: %v", err)
	}
	for _, c := range []*Client{lone, stream, rejected} {
		if err := c.UserOnCloseWait(testContext(t)); err != nil {
			t.Errorf("the connection was not closed: %v", err)
		}
		if err := echo(testContext(t), c, "x"); err != ErrClosed {
			t.Errorf("afterwards: got %v, want ErrClosed", err)
		}
	}
	serverIdle(t, s)
}

// Refused frames alone neither keep a connection, nor make a connection idle while a stream
// goes on that began after them.
func TestShutdownAfterRejects(t *testing.T) {
	g := newGate()
	s := newServer(t, g.service())
	c := serveTest(t, s, context.Background())
	w := dialWire(t, c.conn.ch.conn.RemoteAddr().String())
	for id := streamID(2); id <= 200; id += 2 { // even ids
		w.write(header{id: id, typ: messageTypeRequest}, nil)
	}
	w.data(201, 0, &KeyValue{}) // no such stream
	w.request(203, "NoMethod", 0, nil)
	w.write(header{id: 205, typ: messageTypeRequest}, []byte{0xff}) // no request
	for i := 0; i < 103; i++ {
		w.readResponse()
	}
	w.request(207, "Wait", 0, &KeyValue{})
	within(t, "handler", g.started)
	w.request(207, "Wait", 0, &KeyValue{}) // in use
	if id, resp := w.readResponse(); id != 207 || codes.Code(resp.Status.GetCode()) != codes.InvalidArgument {
		t.Errorf("an id in use: %d, %v", id, resp)
	}
	shutdown := goErr(func() error { return s.Shutdown(testContext(t)) })
	<-s.stopped
	w.write(header{id: 2, typ: messageTypeRequest}, nil)
	w.readResponse()
	close(g.proceed)
	if id, resp := w.readResponse(); id != 207 || resp.Status.GetCode() != 0 {
		t.Errorf("the call in flight: %d, %v", id, resp)
	}
	if _, err := w.tryRead(); err != io.EOF {
		t.Errorf("afterwards: %v, want EOF", err)
	}
	if err := within(t, "Shutdown", shutdown); err != nil {
		t.Errorf("Shutdown: %v", err)
	}
}

// Shutdown returns the error of its context while calls go on, and Close then ends the
// calls. If there is nothing to wait for, the context does not matter.
func TestShutdownContext(t *testing.T) {
	g := newGate()
	s := newServer(t, g.service())
	c := serveTest(t, s, context.Background())
	call := g.call(t, c)
	ctx, cancel := context.WithCancel(context.Background())
	shutdown := goErr(func() error { return s.Shutdown(ctx) })
	<-s.stopped
	cancel()
	if err := within(t, "Shutdown", shutdown); err != context.Canceled {
		t.Errorf("got %v, want context.Canceled", err)
	}
	short, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	if err := s.Shutdown(short); err != context.DeadlineExceeded {
		t.Errorf("got %v, want context.DeadlineExceeded", err)
	}
	s.Close()
	if err := within(t, "Call", call); err != ErrClosed {
		t.Errorf("the call: got %v, want ErrClosed", err)
	}
	if err := within(t, "the handler's end", g.ended); err != context.Canceled {
		t.Errorf("the handler's context: %v", err)
	}
	serverIdle(t, s)
	for i := 0; i < 100; i++ {
		if err := s.Shutdown(ctx); err != nil {
			t.Fatalf("with nothing to wait for: %v", err)
		}
	}
}

// Shutdown closes idle connections even if its context has ended.
func TestShutdownIdleWithEndedContext(t *testing.T) {
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	for _, n := range lifecycleNets {
		for i := 0; i < 20; i++ {
			s := newServer(t, echoMethods())
			l, dial := n.listen(t)
			served := goErr(func() error { return s.Serve(context.Background(), l) })
			nc, err := dial()
			if err != nil {
				t.Fatal(err)
			}
			c := NewClient(nc)
			if err := echo(testContext(t), c, "x"); err != nil {
				t.Fatal(err)
			}
			waitFor(t, "the end of the response's write", func() bool { return !writing(s) })
			if err := s.Shutdown(ended); err != nil {
				t.Errorf("%s: got %v", n.name, err)
			}
			s.Close()
			within(t, "Serve", served)
			c.Close()
		}
	}
}

// writing reports whether a connection of the server has a flusher.
func writing(s *Server) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, sc := range s.connsLocked() {
		ch := sc.conn.ch
		ch.w.mu.Lock()
		busy := ch.w.flushing || len(ch.w.queue) > 0
		ch.w.mu.Unlock()
		if busy {
			return true
		}
	}
	return false
}

// Close ends everything at once: the contexts of handlers, the calls of clients, and the
// connections of both. It waits for no handler, and nothing is served after it (3 of the
// regressions open upstream).
func TestCloseEndsBusyConn(t *testing.T) {
	stubborn := make(chan struct{})
	defer close(stubborn)
	g := newGate()
	desc := g.service()
	started := make(chan struct{})
	desc.Methods["Stubborn"] = func(context.Context, func(any) error) (any, error) {
		close(started)
		<-stubborn
		return &KeyValue{}, nil
	}
	s := newServer(t, desc)
	c := serveTest(t, s, context.Background())
	addr := c.conn.ch.conn.RemoteAddr().String()
	results := []<-chan error{g.call(t, c), g.stream(t, c), g.call(t, dialTest(t, addr))}
	results = append(results, goErr(func() error {
		return c.Call(context.Background(), testService, "Stubborn", &KeyValue{}, &KeyValue{})
	}))
	within(t, "handler", started)
	w := dialWire(t, addr)
	w.request(1, "Wait", 0, &KeyValue{})
	within(t, "handler", g.started)

	if err := s.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	for _, result := range results {
		if err := within(t, "call", result); err != ErrClosed {
			t.Errorf("a call in flight: got %v, want ErrClosed", err)
		}
	}
	for i := 0; i < 4; i++ {
		if err := within(t, "handler's end", g.ended); err != context.Canceled {
			t.Errorf("a handler's context ended with %v", err)
		}
	}
	if f, err := w.tryRead(); err == nil {
		t.Errorf("after Close came %v", f.header)
	}
	if err := echo(testContext(t), c, "x"); err != ErrClosed {
		t.Errorf("a new call: got %v, want ErrClosed", err)
	}
	if nc, err := dialLocal(addr); err == nil {
		nc.Close()
		t.Error("a connection was accepted")
	}
	serverIdle(t, s)
	if err := s.Close(); err != nil {
		t.Errorf("a second Close: %v", err)
	}
}

// A server that never served, or has stopped, can be stopped again in every way.
func TestStopTwice(t *testing.T) {
	shutdown := func(s *Server) error { return s.Shutdown(context.Background()) }
	for _, ends := range [][]func(*Server) error{
		{(*Server).Close, (*Server).Close},
		{(*Server).Close, shutdown},
		{shutdown, (*Server).Close},
		{shutdown, shutdown},
	} {
		for _, serve := range []bool{false, true} {
			s := newServer(t, echoMethods())
			if serve {
				c := serveTest(t, s, context.Background())
				if err := echo(testContext(t), c, "x"); err != nil {
					t.Fatal(err)
				}
			}
			for i, end := range ends {
				if err := within(t, "end", goErr(func() error { return end(s) })); err != nil {
					t.Errorf("end %d: %v", i, err)
				}
			}
		}
	}
}

// stuckLogger is a Logger that does not return before goOn.
type stuckLogger struct{ called, goOn chan struct{} }

func (l stuckLogger) Printf(string, ...any) {
	l.called <- struct{}{}
	<-l.goOn
}

// A logger that holds up the end of a connection holds up Shutdown only until its context
// ends.
func TestShutdownStuckLogger(t *testing.T) {
	logger := stuckLogger{make(chan struct{}, 10), make(chan struct{})}
	s := newServer(t, echoMethods(), usuallyBusy, WithServerLogger(logger))
	defer close(logger.goOn)
	ours, theirs := net.Pipe()
	defer ours.Close()
	go s.ServeConn(context.Background(), theirs)
	go ours.Write([]byte("GET / HTTP/1.1\r\n\r\n"))
	within(t, "the log", logger.called)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := within(t, "Shutdown", goErr(func() error { return s.Shutdown(ctx) })); err != context.Canceled {
		t.Errorf("got %v", err)
	}
}
