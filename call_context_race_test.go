package ttrpc

import (
	"context"
	"sync/atomic"
	"testing"
)

// A racedContext calls the hook when package context first asks for its end, and counts
// the derived contexts that have not ended.
type racedContext struct {
	context.Context
	hook    func()
	derived atomic.Int32
}

func (c *racedContext) Done() <-chan struct{} {
	if hook := c.hook; hook != nil {
		c.hook = nil
		hook()
	}
	return c.Context.Done()
}

// Value hides the embedded context, so that package context uses AfterFunc.
func (c *racedContext) Value(any) any { return nil }

func (c *racedContext) AfterFunc(func()) (stop func() bool) {
	c.derived.Add(1)
	return func() bool {
		c.derived.Add(-1)
		return true
	}
}

// The context ends while its first use makes the standard context: the end counts, and
// nothing is left of the standard context that came too late.
func TestCallContextEndsDuringFirstUse(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	parent := &racedContext{Context: ctx}
	c := newCallContext(parent, 0)
	parent.hook = func() { c.cancel(nil) }
	within(t, "Done", c.Done())
	if parent.hook != nil {
		t.Error("the context has not asked for its parent's end")
	}
	if n := parent.derived.Load(); n != 0 {
		t.Errorf("%d contexts still wait for the end of the parent", n)
	}
}
