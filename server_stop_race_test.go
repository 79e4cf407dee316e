package ttrpc

import (
	"context"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Shutdown while connections come and calls are in flight: those that had begun
// succeed; what comes later is served, refused, or finds no server (12).
func TestRaceShutdown(t *testing.T) {
	for round := rounds(100); round > 0; round-- {
		g := newGate()
		s := newServer(t, g.service())
		l := listen(t)
		served := goErr(func() error { return s.Serve(context.Background(), l) })
		dial := func() *Client {
			nc, err := dialLocal(l.Addr().String())
			if err != nil {
				return nil
			}
			return NewClient(nc)
		}
		busy := dial()
		inFlight := []<-chan error{g.call(t, busy), g.stream(t, busy)}
		call := func() {
			c := dial()
			if c == nil {
				return
			}
			for i := 0; i < 3; i++ {
				if err := echo(context.Background(), c, "x"); err != nil && err != ErrClosed && status.Code(err) != codes.Unavailable {
					t.Errorf("a call that came late: %v", err)
				}
			}
			c.Close()
		}
		together(call, call, call,
			func() {
				if err := s.Shutdown(context.Background()); err != nil {
					t.Errorf("Shutdown: %v", err)
				}
			},
			func() { close(g.proceed) },
		)
		for _, result := range inFlight {
			if err := within(t, "call", result); err != nil {
				t.Errorf("in flight: %v", err)
			}
		}
		if err := within(t, "Serve", served); err != ErrServerClosed {
			t.Errorf("Serve: %v", err)
		}
		busy.Close()
	}
}

// The server's response goes out before the connection is closed for it: by
// Shutdown, which waits for the call.
func TestRaceReplyThenShutdown(t *testing.T) {
	for round := rounds(60); round > 0; round-- {
		s := newServer(t, nil)
		desc := echoMethods()
		down := make(chan error, 1)
		desc.Methods["Down"] = func(context.Context, func(any) error) (any, error) {
			go func() { down <- s.Shutdown(context.Background()) }()
			return &KeyValue{Value: strings.Repeat("x", round%3*100_000)}, nil
		}
		s.RegisterService(testService, desc)
		l := listen(t)
		served := goErr(func() error { return s.Serve(context.Background(), l) })
		nc, err := dialLocal(l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		c := NewClient(nc)
		if err := c.Call(context.Background(), testService, "Down", &KeyValue{}, &KeyValue{}); err != nil {
			t.Errorf("the call that shuts down: %v", err)
		}
		if err := within(t, "Shutdown", down); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
		within(t, "Serve", served)
		c.Close()
	}
}
