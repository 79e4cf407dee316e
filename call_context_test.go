package ttrpc

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"
)

// newCallContext returns a handler's context as newServerCall makes one.
func newCallContext(parent context.Context, timeout time.Duration) *callContext {
	c := &callContext{parent: parent}
	if timeout != 0 {
		c.deadline = time.Now().Add(timeout)
	}
	return c
}

// It behaves as the contexts of the standard library.
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
	c.cancel(context.Canceled)
	c.cancel(context.DeadlineExceeded) // the first one counts
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
	c.cancel(context.Canceled)
	within(t, "Done", c.Done())
	if s := fmt.Sprint(c); s == "" {
		t.Error("no description")
	}
}

func TestCallContextDeadline(t *testing.T) {
	const d = 20 * time.Millisecond
	start := time.Now()
	// Whoever looks first makes it end: Done, Err, AfterFunc, or a child.
	for name, wait := range map[string]func(*callContext){
		"Done":      func(c *callContext) { <-c.Done() },
		"AfterFunc": func(c *callContext) { ended := make(chan struct{}); c.AfterFunc(func() { close(ended) }); <-ended },
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

	// A call that ends before takes its timer along.
	c := newCallContext(context.Background(), time.Hour)
	c.Done()
	c.cancel(context.Canceled)
	if c.timer.Stop() {
		t.Error("the timer runs on")
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

func TestCallContextAfterFunc(t *testing.T) {
	c := newCallContext(context.Background(), 0)
	ran := make(chan string, 3)
	stop := c.AfterFunc(func() { ran <- "stopped" })
	if !stop() {
		t.Error("stop says that it was too late")
	}
	if stop() {
		t.Error("a second stop says that it stopped something")
	}
	stop = c.AfterFunc(func() { ran <- "first" })
	c.AfterFunc(func() { ran <- "second" })
	c.cancel(context.Canceled)
	got := map[string]bool{within(t, "AfterFunc", ran): true, within(t, "AfterFunc", ran): true}
	if !got["first"] || !got["second"] {
		t.Errorf("ran: %v", got)
	}
	if stop() {
		t.Error("stop after the end says that it stopped something")
	}
	stop = c.AfterFunc(func() { ran <- "late" })
	if got := within(t, "AfterFunc", ran); got != "late" {
		t.Errorf("ran: %v", got)
	}
	if stop() {
		t.Error("stop of one that runs says that it stopped it")
	}
}

// Contexts derived from it end with it, whichever way, and leave nothing behind.
func TestCallContextChildren(t *testing.T) {
	type key struct{}
	parent := context.WithValue(context.Background(), key{}, "parent's")
	c := newCallContext(parent, 0)
	c.md = MD{"k": {"v"}}
	c.peer = "peer"
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
	if n := len(c.after); n != 1 {
		t.Errorf("one child is %d functions", n)
	}
	cancel()
	if c.Err() != nil {
		t.Error("the end of the child ended its parent")
	}
	if n := len(c.after); n != 0 {
		t.Errorf("%d functions are left of an ended child", n)
	}
	child, cancel = context.WithCancel(c)
	defer cancel()
	stop := context.AfterFunc(child, func() {})
	defer stop()
	c.cancel(context.Canceled)
	within(t, "child", child.Done())
	if child.Err() != context.Canceled || context.Cause(child) != context.Canceled {
		t.Errorf("the child's end: %v, %v", child.Err(), context.Cause(child))
	}
}

// Everything at once.
func TestRaceCallContext(t *testing.T) {
	for round := rounds(200); round > 0; round-- {
		c := newCallContext(context.Background(), time.Duration(round%3)*50*time.Microsecond)
		var wg sync.WaitGroup
		for _, f := range []func(){
			func() { c.cancel(context.Canceled) },
			func() { <-c.Done() },
			func() { c.Err() },
			func() { c.AfterFunc(func() {})() },
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
