package ttrpc

import (
	"context"
	"testing"
)

// neverEnding is a context of somebody else that never ends.
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

// No goroutine that reads asks Serve's context whether it has ended, whose methods are
// the user's code: that one of package context in between says so.
func TestServeContextThatNeverEnds(t *testing.T) {
	type key struct{}
	ctx := &neverEnding{context.WithValue(context.Background(), key{}, "value"), make(chan struct{}, 1)}
	desc := echoMethods()
	desc.Methods["Value"] = func(ctx context.Context, um func(any) error) (any, error) {
		value, _ := ctx.Value(key{}).(string)
		return &KeyValue{Value: value}, um(&KeyValue{})
	}
	s, err := NewServer()
	if err != nil {
		t.Fatal(err)
	}
	s.RegisterService(testService, desc)
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
