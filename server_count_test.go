package ttrpc

import (
	"context"
	"errors"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// As many calls and streams run at once on a server as the option allows, over any
// connections, and even if their connections have ended. One more is refused at once, and
// when a handler has returned there is room again.
func TestMaxHandlers(t *testing.T) {
	g := newGate()
	desc := g.service()
	goOn, stubborn := make(chan struct{}), make(chan struct{}, 10)
	desc.Methods["Stubborn"] = func(context.Context, func(any) error) (any, error) {
		stubborn <- struct{}{}
		<-goOn
		return &KeyValue{}, nil
	}
	s, addr := newTestServer(t, desc, WithServerMaxHandlers(3))
	gone, c, other := dialTest(t, addr), dialTest(t, addr), dialTest(t, addr)
	go gone.Call(context.Background(), testService, "Stubborn", &KeyValue{}, &KeyValue{})
	within(t, "the handler", stubborn)
	call, stream := g.call(t, c), g.stream(t, other)
	full := func(when string) {
		t.Helper()
		for _, c := range []*Client{c, other} {
			err := echo(testContext(t), c, "x")
			if status.Code(err) != codes.ResourceExhausted || !strings.Contains(err.Error(), "on this server") {
				t.Errorf("%s: got %v, want ResourceExhausted", when, err)
			}
			cs, err := c.NewStream(testContext(t), &StreamDesc{StreamingServer: true}, testService, "WaitStream", &KeyValue{})
			if err != nil {
				t.Fatal(err)
			}
			if err := cs.RecvMsg(&KeyValue{}); status.Code(err) != codes.ResourceExhausted {
				t.Errorf("%s: a stream: got %v, want ResourceExhausted", when, err)
			}
		}
	}
	full("three run")
	gone.Close()
	waitFor(t, "the end of a connection", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return len(s.conns) == 2
	})
	full("the connection of one has ended")
	close(goOn)
	waitFor(t, "room", func() bool { return echo(testContext(t), c, "x") == nil })
	close(g.proceed)
	for _, call := range []<-chan error{call, stream} {
		if err := within(t, "call", call); err != nil {
			t.Errorf("a call that was let in: %v", err)
		}
	}
	for i := 0; i < 20; i++ { // each counts no longer than until the client has its response
		if err := echo(testContext(t), c, "x"); err != nil {
			t.Errorf("one after another: %v", err)
		}
	}
	if n := s.calls.running.Load(); n != 0 {
		t.Errorf("%d calls are counted, none runs", n)
	}
}

// However a handler ends, it stops counting once.
func TestMaxHandlersCountedOnce(t *testing.T) {
	desc := echoMethods()
	desc.Methods["Panic"] = func(context.Context, func(any) error) (any, error) { panic("on purpose") }
	desc.Methods["Goexit"] = func(context.Context, func(any) error) (any, error) { runtime.Goexit(); return nil, nil }
	s, addr := newTestServer(t, desc, WithServerMaxHandlers(2), WithServerLogger(newLogRecorder()))
	for _, method := range []string{"Echo", "Fail", "Panic", "Goexit", "Unknown", "Repeat"} {
		c := dialTest(t, addr)
		for i := 0; i < 5; i++ {
			err := c.Call(testContext(t), testService, method, &KeyValue{}, &KeyValue{})
			if status.Code(err) == codes.ResourceExhausted {
				t.Errorf("%s: %v", method, err)
			}
		}
		w := newWire(dialRaw(t, addr))
		w.request(1, method, 0, nil)
		w.data(1, 0, nil) // ends the stream of a unary call whose handler runs
		w.Close()
		waitFor(t, "the end of "+method, func() bool { return s.calls.running.Load() == 0 })
	}
}

// connCount returns the number of connections that count, and of their users.
func (s *Server) connCount() (conns, users int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns), len(s.byUID)
}

// wantTurnedAway checks that a connection is closed without an answer.
func wantTurnedAway(t *testing.T, addr string) {
	t.Helper()
	if err := echo(testContext(t), dialTest(t, addr), "x"); err != ErrClosed {
		t.Errorf("one connection more: got %v, want ErrClosed", err)
	}
}

// One connection beyond the limit is closed at once, with a line in the log. Other
// connections go on, and when one has ended there is room again.
func TestMaxConns(t *testing.T) {
	rec := newLogRecorder()
	s, addr := newTestServer(t, echoMethods(), WithServerMaxConns(2, 0), WithServerLogger(rec))
	first, second := dialTest(t, addr), dialTest(t, addr)
	for _, c := range []*Client{first, second} {
		if err := echo(testContext(t), c, "x"); err != nil {
			t.Fatal(err)
		}
	}
	for i := 0; i < 3; i++ {
		wantTurnedAway(t, addr)
	}
	rec.wait(t, "refused: more than 2 connections")
	if err := echo(testContext(t), second, "x"); err != nil {
		t.Errorf("one that was let in: %v", err)
	}
	first.Close()
	waitFor(t, "room", func() bool { n, _ := s.connCount(); return n == 1 })
	if err := echo(testContext(t), dialTest(t, addr), "x"); err != nil {
		t.Errorf("when one has ended: %v", err)
	}
}

// A flood of connections writes no more lines than other floods do.
func TestMaxConnsLog(t *testing.T) {
	rec := newLogRecorder()
	_, addr := newTestServer(t, echoMethods(), WithServerMaxConns(1, 0), WithServerLogger(rec))
	if err := echo(testContext(t), dialTest(t, addr), "x"); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	for i := 0; i < 100; i++ {
		wantTurnedAway(t, addr)
	}
	seconds := 2 + int(time.Since(start)/time.Second)
	if n := len(rec.all()); n == 0 || n > seconds*(logEventsPerSecond+1) {
		t.Errorf("%d lines", n)
	}
}

// However a handshake ends, its connection stops counting once.
func TestMaxConnsHandshakes(t *testing.T) {
	goOn := make(chan struct{})
	defer close(goOn)
	for name, handshake := range map[string]func(ctx context.Context, nc net.Conn) (net.Conn, any, error){
		"error":      func(context.Context, net.Conn) (net.Conn, any, error) { return nil, nil, errors.New("not you") },
		"nothing":    func(context.Context, net.Conn) (net.Conn, any, error) { return nil, nil, nil },
		"panic":      func(context.Context, net.Conn) (net.Conn, any, error) { panic("on purpose") },
		"Goexit":     func(context.Context, net.Conn) (net.Conn, any, error) { runtime.Goexit(); return nil, nil, nil },
		"time limit": func(ctx context.Context, nc net.Conn) (net.Conn, any, error) { <-ctx.Done(); return nc, nil, nil },
		"no end":     func(_ context.Context, nc net.Conn) (net.Conn, any, error) { <-goOn; return nc, nil, nil },
		"success":    func(_ context.Context, nc net.Conn) (net.Conn, any, error) { return nc, nil, nil },
	} {
		handshake := handshake
		t.Run(name, func(t *testing.T) {
			s, addr := newTestServer(t, echoMethods(), WithServerMaxConns(2, 2), WithServerLogger(newLogRecorder()),
				WithServerHandshakeTimeout(10*time.Millisecond), WithServerHandshaker(handshakeFunc(handshake)))
			for i := 0; i < 6; i++ {
				c := dialTest(t, addr)
				if err := echo(testContext(t), c, "x"); (err == nil) != (name == "success") {
					t.Errorf("connection %d: %v", i, err)
				}
				c.Close()
				waitFor(t, "the end of the connection", func() bool {
					conns, users := s.connCount()
					return conns == 0 && users == 0
				})
			}
		})
	}
}

// stuckConn is a connection whose Close does not return before goOn.
type stuckConn struct {
	net.Conn
	goOn <-chan struct{}
}

func (c *stuckConn) Close() error {
	<-c.goOn
	return c.Conn.Close()
}

// The close of a connection beyond the limit holds up no other connection: its peer may
// make the close slow.
func TestMaxConnsTurnedAwayBesideOthers(t *testing.T) {
	s := newServer(t, echoMethods(), usuallyBusy, WithServerMaxConns(1, 0), WithServerLogger(newLogRecorder()))
	goOn := make(chan struct{})
	defer close(goOn)
	c, _ := servePipe(t, s, context.Background())
	if err := echo(testContext(t), c, "x"); err != nil {
		t.Fatal(err)
	}
	const many = 30
	l := newScriptedListener()
	for i := 0; i < many; i++ {
		ours, theirs := net.Pipe()
		t.Cleanup(func() { ours.Close() })
		l.accepts <- &stuckConn{theirs, goOn}
	}
	start := time.Now()
	go s.Serve(context.Background(), l)
	waitFor(t, "the accepting of all", func() bool { return len(l.accepts) == 0 })
	if d := time.Since(start); d > many*lingerLimit/2 {
		t.Errorf("accepting %d connections took %v", many, d)
	}
}
