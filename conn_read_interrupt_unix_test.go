//go:build unix

package ttrpc

import (
	"context"
	"runtime"
	"strings"
	"testing"
	"time"
)

// A leader waits in a system call. These tests show that its context and the end of
// the connection get it out of there.

func holderOfTurn(c *Client) turnHolder {
	c.conn.mu.Lock()
	defer c.conn.mu.Unlock()
	return c.reader.turn.holder
}

// leads reports whether a receiver takes the turn within a moment. A test must wait because
// nobody holds the turn only for a short time.
func leads(c *Client) bool {
	for deadline := time.Now().Add(5 * time.Millisecond); time.Now().Before(deadline); {
		if holderOfTurn(c) == heldByLeader {
			return true
		}
		time.Sleep(100 * time.Microsecond)
	}
	return false
}

// leading starts waits until one of them leads, after calls that make the read loop leave
// the turn. It returns the error that wait will return, and the function that ends its
// context.
func leading(t *testing.T, c *Client, wait func(context.Context) error) (result <-chan error, cancel context.CancelFunc) {
	t.Helper()
	for deadline := time.Now().Add(testTimeout); time.Now().Before(deadline); {
		for i := 0; i < 2; i++ {
			if err := echo(testContext(t), c, "x"); err != nil {
				t.Fatal(err)
			}
		}
		ctx, cancel := context.WithCancel(testContext(t))
		result := goErr(func() error { return wait(ctx) })
		if leads(c) {
			return result, cancel
		}
		cancel()
		if err := within(t, "a wait that did not lead", result); err != context.Canceled {
			t.Fatalf("a wait that did not lead returned %v", err)
		}
	}
	t.Fatal("no receiver ever leads")
	return nil, nil
}

// The end of a leader's context ends its read, for unary calls and for streams.
func TestCancelOfLeader(t *testing.T) {
	c, _ := newTestPair(t, echoMethods())
	for name, wait := range map[string]func(context.Context) error{
		"unary": func(ctx context.Context) error {
			return c.Call(ctx, testService, "Block", &KeyValue{}, &KeyValue{})
		},
		"stream": func(ctx context.Context) error {
			cs, err := c.NewStream(ctx, &StreamDesc{StreamingClient: true, StreamingServer: true}, testService, "EchoStream", nil)
			if err != nil {
				return err
			}
			return cs.RecvMsg(&KeyValue{})
		},
		// The watch on the context stays from one call to the next.
		"one context for all": func(ctx context.Context) error {
			for i := 0; i < 3; i++ {
				if err := echo(ctx, c, "x"); err != nil {
					return err
				}
			}
			return c.Call(ctx, testService, "Block", &KeyValue{}, &KeyValue{})
		},
	} {
		for i := 0; i < 10; i++ {
			result, cancel := leading(t, c, wait)
			cancel()
			if err := within(t, name, result); err != context.Canceled {
				t.Fatalf("%s: got %v, want Canceled", name, err)
			}
		}
	}
}

// Close ends the leader's call while the socket is still open for messages that streams
// have sent.
func TestCloseEndsLeader(t *testing.T) {
	for attempt := 0; ; attempt++ {
		ours, theirs := socketPair(t)
		ours.SetWriteBuffer(4 << 10)
		c := NewClient(ours)
		defer c.Close()
		w := newWire(theirs)
		for i := 0; i < 2; i++ {
			result := goErr(func() error { return echo(testContext(t), c, "x") })
			h, req := w.readRequest()
			w.respond(h.id, &Response{Payload: req.Payload})
			if err := within(t, "a call", result); err != nil {
				t.Fatal(err)
			}
		}
		cs, err := c.NewStream(testContext(t), &StreamDesc{StreamingClient: true}, testService, "Join", nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := cs.SendMsg(&KeyValue{Value: strings.Repeat("x", 900<<10)}); err != nil {
			t.Fatal(err)
		}
		open := false // when the call returned
		call := goErr(func() error {
			err := c.Call(testContext(t), testService, "Block", &KeyValue{}, &KeyValue{})
			c.conn.ch.w.mu.Lock()
			open = c.conn.ch.w.err == nil
			c.conn.ch.w.mu.Unlock()
			return err
		})
		if !leads(c) {
			if attempt == 100 {
				t.Fatal("no caller ever leads")
			}
			continue
		}
		closed := goErr(c.Close)
		stop := make(chan struct{})
		read := goErr(func() error { // slowly, so that Close takes its time
			for buf := make([]byte, 4<<10); ; {
				if _, err := w.Read(buf); err != nil {
					return err
				}
				select {
				case <-stop:
				case <-time.After(5 * time.Millisecond):
				}
			}
		})
		if err := within(t, "the call", call); err != ErrClosed {
			t.Errorf("the call: got %v, want ErrClosed", err)
		}
		if !open {
			t.Error("the call returned when the socket was closed, and not before")
		}
		close(stop)
		within(t, "Close", closed)
		within(t, "the end of the connection", read)
		return
	}
}

// A leader that reads a message for a full stream leaves the message to the read loop,
// which may wait for the stream's receiver. The leader's context still ends its call.
func TestLeaderLeavesFullStream(t *testing.T) {
	desc := echoMethods()
	send := make(chan struct{})
	desc.Streams["Burst"] = Stream{StreamingServer: true, Handler: func(_ context.Context, ss StreamServer) (any, error) {
		<-send
		for i := 0; i < 20; i++ {
			if err := ss.SendMsg(&KeyValue{Value: strings.Repeat("x", 8<<10)}); err != nil {
				return nil, err
			}
		}
		return nil, nil
	}}
	_, addr := newTestServer(t, desc)
	// With windows no stream is full.
	c := dialTest(t, addr, WithClientLimits(Limits{MaxStreamBuffer: 64 << 10}), WithClientExtensions(false))
	cs, err := c.NewStream(testContext(t), &StreamDesc{StreamingServer: true}, testService, "Burst", &KeyValue{})
	if err != nil {
		t.Fatal(err)
	}
	defer runtime.KeepAlive(cs)
	result, cancel := leading(t, c, func(ctx context.Context) error {
		return c.Call(ctx, testService, "Block", &KeyValue{}, &KeyValue{})
	})
	close(send)
	waitFor(t, "reading to pause", func() bool { return c.conn.pauses.since.Load() != 0 })
	start := time.Now()
	cancel()
	if err := within(t, "the call", result); err != context.Canceled {
		t.Errorf("got %v, want Canceled", err)
	}
	if d := time.Since(start); d > slowConsumerLimit/2 {
		t.Errorf("the call returned %v after the end of its context", d)
	}
}
