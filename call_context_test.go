package ttrpc

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"
)

// newCallContext returns a handler's context, made as newServerCall and handleRequest make
// it.
func newCallContext(parent context.Context, timeout time.Duration) *callContext {
	c := &callContext{call: &serverCall{sc: &serverConn{serving: &serving{ctx: parent}}}}
	if timeout != 0 {
		c.deadline = time.Now().Add(timeout)
	}
	if parent.Err() != nil {
		c.settle(c.parentContext())
	}
	return c
}

// A callContext behaves like the contexts of the standard library.
func TestCallContext(t *testing.T) {
	c := newCallContext(context.Background(), 0)
	if _, ok := c.Deadline(); ok || c.Err() != nil {
		t.Error("a new context has ended or has a deadline")
	}
	done := c.Done()
	select {
	case <-done:
		t.Error("Done is closed")
	default:
	}
	c.cancel(nil)
	c.cancel(nil) // the first one counts
	within(t, "Done", done)
	within(t, "Done afterwards", c.Done())
	if err := c.Err(); err != context.Canceled {
		t.Errorf("Err: got %v", err)
	}
	if c.Done() != done {
		t.Error("Done is another channel")
	}

	// Done for the first time after the end.
	c = newCallContext(context.Background(), 0)
	c.cancel(nil)
	within(t, "Done", c.Done())
	if s := fmt.Sprint(c); s == "" {
		t.Error("no description")
	}
}

func TestCallContextDeadline(t *testing.T) {
	const d = 20 * time.Millisecond
	start := time.Now()
	// The first look makes it end: Done, Err, context.AfterFunc, or a child.
	for name, wait := range map[string]func(*callContext){
		"Done": func(c *callContext) { <-c.Done() },
		"AfterFunc": func(c *callContext) {
			ended := make(chan struct{})
			context.AfterFunc(c, func() { close(ended) })
			<-ended
		},
		"Err": func(c *callContext) {
			<-time.After(time.Until(c.deadline))
			if c.Err() == nil {
				t.Error("Err is nil after the deadline")
			}
		},
		"child": func(c *callContext) {
			child, cancel := context.WithCancel(c)
			defer cancel()
			<-child.Done()
			if err := child.Err(); err != context.DeadlineExceeded {
				t.Errorf("the child's Err: %v", err)
			}
		},
	} {
		c := newCallContext(context.Background(), d)
		deadline, ok := c.Deadline()
		if !ok || deadline.Before(start.Add(d)) {
			t.Errorf("%s: Deadline: %v, %v", name, deadline, ok)
		}
		wait(c)
		if time.Now().Before(deadline) {
			t.Errorf("%s: it ended before its deadline", name)
		}
		if err := c.Err(); err != context.DeadlineExceeded {
			t.Errorf("%s: Err: %v", name, err)
		}
	}

	// The earlier of its own deadline and that of Serve's context.
	parent, cancel := context.WithTimeout(context.Background(), time.Hour)
	defer cancel()
	for timeout, want := range map[time.Duration]time.Duration{time.Minute: time.Minute, 2 * time.Hour: time.Hour, 0: time.Hour} {
		deadline, ok := newCallContext(parent, timeout).Deadline()
		if left := time.Until(deadline); !ok || left > want || left < want-testTimeout {
			t.Errorf("timeout %v under one of an hour: %v left", timeout, left)
		}
	}
}

// Contexts derived from a callContext end with it, for every reason, and leave nothing
// behind.
func TestCallContextChildren(t *testing.T) {
	type key struct{}
	parent := context.WithValue(context.Background(), key{}, "parent's")
	c := newCallContext(parent, 0)
	c.md = MD{"k": {"v"}}
	c.call.sc.peer = "peer"
	child, cancel := context.WithTimeout(c, time.Hour)
	if child.Value(key{}) != "parent's" {
		t.Error("the parent's value is lost")
	}
	if v, _ := GetMetadataValue(child, "k"); v != "v" {
		t.Errorf("metadata: %q", v)
	}
	if peer, ok := PeerFromContext(child); !ok || peer != "peer" {
		t.Errorf("peer: %v, %v", peer, ok)
	}
	cancel()
	if c.Err() != nil {
		t.Error("the end of the child ended its parent")
	}
	child, cancel = context.WithCancel(c)
	defer cancel()
	stop := context.AfterFunc(child, func() {})
	defer stop()
	c.cancel(nil)
	within(t, "child", child.Done())
	if child.Err() != context.Canceled || context.Cause(child) != context.Canceled {
		t.Errorf("the child's end: %v, %v", child.Err(), context.Cause(child))
	}
}

// All methods of a callContext are used at the same time.
func TestRaceCallContext(t *testing.T) {
	for round := rounds(200); round > 0; round-- {
		c := newCallContext(context.Background(), time.Duration(round%3)*50*time.Microsecond)
		var wg sync.WaitGroup
		for _, f := range []func(){
			func() { c.cancel(nil) },
			func() { <-c.Done() },
			func() { c.Err() },
			func() { context.AfterFunc(c, func() {})() },
			func() {
				child, cancel := context.WithCancel(c)
				defer cancel()
				<-child.Done()
			},
		} {
			wg.Add(1)
			go func(f func()) {
				defer wg.Done()
				f()
			}(f)
		}
		wg.Wait()
		if c.Err() == nil {
			t.Fatal("it has not ended")
		}
	}
}

// TestCallContextStandard compares a handler's context with a context of package context
// that has the same parent and the same life: after each step, and for every moment of the
// first use.
func TestCallContextStandard(t *testing.T) {
	lives := [][]string{{"call"}, {"parent"}, {"call", "parent"}, {"parent", "call"}}
	expired := [][]string{{"deadline"}, {"deadline", "call", "parent"}, {"deadline", "parent", "call"}}
	for _, parent := range contextParents {
		for timeout, lives := range map[time.Duration][][]string{0: lives, -1: lives, time.Hour: lives, time.Millisecond: expired} {
			for _, steps := range lives {
				for looks := 0; looks < 1<<len(steps); looks++ {
					name := fmt.Sprintf("%s, timeout %v, %v, looks %b", parent.name, timeout, steps, looks)
					testContextLife(t, name, parent.make, timeout, steps, looks)
				}
			}
		}
	}
}

// testContextLife uses the context before the steps whose bits are set in looks.
func testContextLife(t *testing.T, name string, makeParent func(error) (context.Context, func()), timeout time.Duration, steps []string, looks int) {
	parent, endParent := makeParent(errors.New("why"))
	defer endParent()
	c := newCallContext(parent, timeout)
	deadline := c.deadline
	if timeout == 0 {
		deadline = time.Now().Add(2 * time.Hour)
	}
	std, endStd := context.WithDeadline(parent, deadline)
	defer endStd()
	for i, step := range steps {
		if looks&(1<<i) != 0 {
			if step == "deadline" {
				c.Done() // the rest may differ for a moment
			} else {
				sameContext(t, fmt.Sprintf("%s, before step %d", name, i), c, std)
			}
		}
		switch step {
		case "call":
			c.cancel(nil)
			endStd()
		case "parent":
			endParent()
			c.Err() // serving.tellCalls
		case "deadline":
			within(t, "the deadline", std.Done())
			if c.standard.Load() != nil {
				within(t, "the deadline", c.Done())
			}
		}
	}
	sameContext(t, name+", in the end", c, std)
}

// contextParents are contexts that a program may give to Serve.
var contextParents = []struct {
	name string
	make func(why error) (ctx context.Context, end func())
}{
	{"background", func(error) (context.Context, func()) { return context.Background(), func() {} }},
	{"cancel", func(error) (context.Context, func()) { return context.WithCancel(context.Background()) }},
	{"cause", func(why error) (context.Context, func()) {
		ctx, end := context.WithCancelCause(context.Background())
		return ctx, func() { end(why) }
	}},
	{"value of cause", func(why error) (context.Context, func()) {
		ctx, end := context.WithCancelCause(context.Background())
		return context.WithValue(ctx, why, why), func() { end(why) }
	}},
	{"deadline", func(why error) (context.Context, func()) {
		return context.WithDeadlineCause(context.Background(), time.Now().Add(-1), why)
	}},
}

// sameContext compares two contexts, and those derived from them.
func sameContext(t *testing.T, why string, got, want context.Context) {
	t.Helper()
	if g, w := describeContext(got), describeContext(want); g != w {
		t.Errorf("%s: got %s, want %s", why, g, w)
	}
	child, cancel := context.WithCancel(got)
	defer cancel()
	standard, cancelStandard := context.WithCancel(want)
	defer cancelStandard()
	if g, w := describeContext(child), describeContext(standard); g != w {
		t.Errorf("%s: a child: got %s, want %s", why, g, w)
	}
	if cause := context.Cause(context.WithoutCancel(got)); cause != nil {
		t.Errorf("%s: without cancel: the cause %v", why, cause)
	}
}

func describeContext(ctx context.Context) string {
	done := false
	select {
	case <-ctx.Done():
		done = true
	default:
	}
	return fmt.Sprintf("err %v, cause %v, done %v", ctx.Err(), context.Cause(ctx), done)
}

// A context that was derived before the end has the cause that package context sets.
func TestCallContextChildCause(t *testing.T) {
	why := errors.New("why")
	parent, end := context.WithCancelCause(context.Background())
	c := newCallContext(parent, 0)
	child, cancel := context.WithCancel(c)
	defer cancel()
	end(why)
	within(t, "child", child.Done())
	for _, ctx := range []context.Context{child, c} {
		if err, cause := ctx.Err(), context.Cause(ctx); err != context.Canceled || cause != why {
			t.Errorf("%v: got %v, %v, want Canceled and the cause of Serve's context", ctx, err, cause)
		}
	}
	c.cancel(nil)
	if cause := context.Cause(c); cause != why {
		t.Errorf("after the call: cause %v", cause)
	}
}

// A key of the type that package context uses itself finds the values of Serve's context.
func TestCallContextForeignKey(t *testing.T) {
	key := new(int)
	for name, end := range map[string]func(*callContext){"running": func(*callContext) {}, "ended": func(c *callContext) { c.cancel(nil) }} {
		c := newCallContext(context.WithValue(context.Background(), key, "value"), 0)
		end(c)
		if v := c.Value(key); v != "value" {
			t.Errorf("%s: got %v", name, v)
		}
		if v := c.Value(new(int)); v != nil {
			t.Errorf("%s: another key: got %v", name, v)
		}
	}
}
