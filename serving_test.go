package ttrpc

import (
	"context"
	"sync/atomic"
	"testing"
)

// neverEnding is a user's context that never ends.
type neverEnding struct {
	context.Context
	asked chan struct{} // a token when its Err is called
}

func (c *neverEnding) Err() error {
	select {
	case c.asked <- struct{}{}:
	default:
	}
	return nil
}

// No goroutine that reads asks Serve's context, whose methods are the user's code, whether
// it has ended. A context of package context between the two answers.
func TestServeContextThatNeverEnds(t *testing.T) {
	type key struct{}
	ctx := &neverEnding{context.WithValue(context.Background(), key{}, "value"), make(chan struct{}, 1)}
	desc := echoMethods()
	desc.Methods["Value"] = func(ctx context.Context, um func(any) error) (any, error) {
		value, _ := ctx.Value(key{}).(string)
		return &KeyValue{Value: value}, um(&KeyValue{})
	}
	s := newServer(t, desc, usuallyBusy)
	l := newMemListener(0)
	served := goErr(func() error { return s.Serve(ctx, l) })
	c := NewClient(l.dial())
	var resp KeyValue
	if err := c.Call(testContext(t), testService, "Value", &KeyValue{}, &resp); err != nil || resp.Value != "value" {
		t.Errorf("got %q, %v, want the value of Serve's context", resp.Value, err)
	}
	c.Close()
	s.Close()
	if err := within(t, "Serve", served); err != ErrServerClosed {
		t.Errorf("Serve: got %v, want ErrServerClosed", err)
	}
	if len(ctx.asked) > 0 {
		t.Error("Err of Serve's context is called")
	}
}

// countedContext is a user's context that counts the functions which wait for its end.
type countedContext struct {
	context.Context
	end     chan struct{}
	waiting atomic.Int32
}

func (c *countedContext) Done() <-chan struct{} { return c.end }

func (c *countedContext) AfterFunc(func()) (stop func() bool) {
	c.waiting.Add(1)
	return func() bool {
		c.waiting.Add(-1)
		return true
	}
}

// The handlers of a connection keep their contexts after Serve has returned. The last
// connection releases Serve's context.
func TestServeContextOutlivesServe(t *testing.T) {
	ctx := &countedContext{Context: context.Background(), end: make(chan struct{})}
	s := newServer(t, nil, usuallyBusy)
	defer s.Close()
	began, proceed := make(chan context.Context), make(chan struct{})
	desc := echoMethods()
	desc.Methods["Hold"] = func(ctx context.Context, um func(any) error) (any, error) {
		began <- ctx
		<-proceed
		return text("done"), ctx.Err()
	}
	s.RegisterService(testService, desc)
	l := newMemListener(0)
	served := goErr(func() error { return s.Serve(ctx, l) })
	var clients []*Client
	for i := 0; i < 2; i++ {
		clients = append(clients, NewClient(l.dial()))
		if err := echo(testContext(t), clients[i], "x"); err != nil {
			t.Fatal(err)
		}
	}
	called := goErr(func() error { return clients[0].Call(testContext(t), testService, "Hold", text("x"), &KeyValue{}) })
	handler := within(t, "the handler", began)
	l.Close()
	if err := within(t, "Serve", served); err == ErrServerClosed {
		t.Errorf("Serve of a listener that was closed: got %v", err)
	}
	clients[1].Close()
	waitFor(t, "the end of a connection", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return len(s.conns) == 1
	})
	if n := ctx.waiting.Load(); handler.Err() != nil || n != 1 {
		t.Errorf("after Serve a handler's context has the error %v, and %d wait for Serve's", handler.Err(), n)
	}
	close(proceed)
	if err := within(t, "the call", called); err != nil {
		t.Errorf("the call: %v", err)
	}
	clients[0].Close()
	waitFor(t, "the last connection to let go of the context", func() bool { return ctx.waiting.Load() == 0 })

	// Serve itself lets go of it if there is no connection.
	l = newMemListener(0)
	served = goErr(func() error { return s.Serve(ctx, l) })
	l.Close()
	within(t, "Serve", served)
	if n := ctx.waiting.Load(); n != 0 {
		t.Errorf("after Serve without connections %d wait for its context", n)
	}
}
