//go:build unix

package ttrpc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// hookedContext is a user's context: each of its methods runs code of the test.
type hookedContext struct {
	context.Context
	hook func(method string)
}

func (c *hookedContext) Done() <-chan struct{} {
	c.hook("Done")
	return c.Context.Done()
}

func (c *hookedContext) Err() error {
	c.hook("Err")
	return c.Context.Err()
}

func (c *hookedContext) Value(key any) any {
	c.hook("Value")
	return c.Context.Value(key)
}

func (c *hookedContext) Deadline() (time.Time, bool) {
	c.hook("Deadline")
	return c.Context.Deadline()
}

// ownAfterFunc is a hookedContext whose AfterFunc package context calls, since it finds no
// context of its own below.
type ownAfterFunc struct{ hookedContext }

func (c *ownAfterFunc) Value(any) any {
	c.hook("Value")
	return nil
}

func (c *ownAfterFunc) AfterFunc(f func()) (stop func() bool) {
	c.hook("AfterFunc")
	inner := context.AfterFunc(c.Context, f)
	return func() bool {
		c.hook("stop")
		return inner()
	}
}

// hooked returns contexts of both kinds around ctx.
func hooked(ctx context.Context, hook func(method string)) map[string]context.Context {
	plain := &hookedContext{ctx, hook}
	return map[string]context.Context{"plain": plain, "AfterFunc": &ownAfterFunc{*plain}}
}

// The methods of a context take locks that its owner holds while it waits for the
// connection. Therefore they run under no lock of the library: in this test they take the
// library's locks themselves.
func TestContextsUnderNoLock(t *testing.T) {
	good, _ := newTestPair(t, echoMethods())
	for name, test := range map[string]struct {
		do   func(ctx context.Context, c *Client) error
		want error
		dead bool // the server reads nothing
	}{
		"calls": {do: func(ctx context.Context, c *Client) error {
			return errors.Join(echo(ctx, c, "x"), echo(ctx, c, "x"), echo(context.Background(), c, "x"))
		}},
		"streams": {do: echoOnStream},
		"waiting for room": {dead: true, want: context.DeadlineExceeded, do: func(ctx context.Context, c *Client) error {
			go c.Call(ctx, testService, "M", &KeyValue{Value: strings.Repeat("x", 3<<20)}, &KeyValue{})
			return c.Call(ctx, testService, "M", &KeyValue{Value: strings.Repeat("x", 3<<20)}, &KeyValue{})
		}},
		"Close": {dead: true, want: ErrClosed, do: func(ctx context.Context, c *Client) error {
			called := goErr(func() error { return c.Call(ctx, testService, "M", &KeyValue{}, &KeyValue{}) })
			waitFor(t, "the call", func() bool { return tableSize(c.conn) == 1 })
			c.Close()
			return <-called
		}},
	} {
		for i := 0; i < 20; i++ {
			for _, kind := range []string{"plain", "AfterFunc"} {
				c, limit := good, testTimeout
				if test.dead {
					ours, _ := socketPair(t)
					c = NewClient(ours)
				}
				if test.want == context.DeadlineExceeded {
					limit = 10 * time.Millisecond
				}
				parent, cancel := context.WithTimeout(context.Background(), limit)
				ctx := hooked(parent, func(string) {
					c.conn.lookup(0)           // conn.mu
					c.conn.ch.w.writtenBytes() // writer.mu
					c.conn.ch.w.room.load()    // budget.mu
				})[kind]
				err := within(t, name+", "+kind, goErr(func() error { return test.do(ctx, c) }))
				if err != test.want {
					t.Fatalf("%s, %s: got %v, want %v", name, kind, err, test.want)
				}
				cancel()
				if test.dead {
					c.Close()
				}
			}
		}
	}
}

func echoOnStream(ctx context.Context, c *Client) error {
	cs, err := c.NewStream(ctx, &StreamDesc{StreamingClient: true, StreamingServer: true}, testService, "EchoStream", nil)
	if err != nil {
		return err
	}
	err = errors.Join(cs.SendMsg(&KeyValue{}), cs.RecvMsg(&KeyValue{}), cs.CloseSend())
	if last := cs.RecvMsg(&KeyValue{}); last != io.EOF {
		return fmt.Errorf("after the end: %w", last)
	}
	return err
}

// The stop function of a context, whose watch ends with a stream, waits for a call on the
// same connection: the goroutine that reads does not run it.
func TestStopWaitsForCall(t *testing.T) {
	c, _ := newTestPair(t, echoMethods())
	for i := 0; i < 5; i++ {
		stopped := make(chan error, 10)
		ctx := hooked(testContext(t), func(method string) {
			if method == "stop" {
				stopped <- echo(testContext(t), c, "x")
			}
		})["AfterFunc"]
		if err := within(t, "the stream", goErr(func() error { return echoOnStream(ctx, c) })); err != nil {
			t.Fatal(err)
		}
		if err := within(t, "stop", stopped); err != nil {
			t.Fatal(err)
		}
	}
}

// The same holds at the end of a connection while a caller leads, and for a goroutine that
// holds the lock of a context while it waits for a call.
func TestContextOfLeader(t *testing.T) {
	c, _ := newTestPair(t, echoMethods())
	for i := 0; i < 20; i++ {
		result, cancel := leading(t, c, func(parent context.Context) error {
			ctx := &ownAfterFunc{hookedContext{parent, func(method string) {
				if method == "AfterFunc" || method == "stop" {
					within(t, "another call", goErr(func() error { return echo(testContext(t), c, "x") }))
				}
			}}}
			return c.Call(ctx, testService, "Block", &KeyValue{}, &KeyValue{})
		})
		cancel()
		if err := within(t, "the call", result); err != context.Canceled {
			t.Fatalf("got %v, want Canceled", err)
		}
	}
	locking := func(string) { c.conn.lookup(0) }
	result, _ := leading(t, c, func(ctx context.Context) error {
		return c.Call(hooked(ctx, locking)["AfterFunc"], testService, "Block", &KeyValue{}, &KeyValue{})
	})
	within(t, "Close", goErr(c.Close))
	if err := within(t, "the call", result); err != ErrClosed {
		t.Errorf("got %v, want ErrClosed", err)
	}
}

// The stop function of Serve's context runs under no lock of the server.
func TestServeContextUnderNoLock(t *testing.T) {
	s := newServer(t, nil)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var stops atomic.Int32
	own := &ownAfterFunc{hookedContext{ctx, func(method string) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if method == "stop" {
			stops.Add(1)
		}
	}}}
	l := listen(t)
	served := goErr(func() error { return s.Serve(own, l) })
	c := dialTest(t, l.Addr().String())
	s.RegisterService(testService, echoMethods())
	if err := echo(testContext(t), c, "x"); err != nil {
		t.Fatal(err)
	}
	within(t, "Close", goErr(s.Close))
	within(t, "Serve", served)
	waitFor(t, "the end of the watch", func() bool { return stops.Load() == 1 })
}

// A context whose method panics, or ends its goroutine, costs its caller only that call,
// and affects no other caller.
func TestPanickingContext(t *testing.T) {
	for name, fail := range map[string]func(){
		"panic":  func() { panic("a context's") },
		"Goexit": runtime.Goexit,
	} {
		fail := fail
		t.Run(name, func(t *testing.T) {
			c, _ := newTestPair(t, echoMethods())
			for nth := int32(1); nth < 30; nth++ {
				// Two calls make it likely that the next caller leads.
				if err := errors.Join(echo(testContext(t), c, "x"), echo(testContext(t), c, "x")); err != nil {
					t.Fatal(err)
				}
				over := make(chan struct{})
				var calls atomic.Int32
				ctx, cancel := context.WithCancel(testContext(t))
				bad := &hookedContext{ctx, func(string) {
					if calls.Add(1) == nth {
						fail()
					}
				}}
				go func() {
					defer close(over)
					defer func() { recover() }()
					if nth%2 == 0 {
						time.AfterFunc(time.Millisecond, cancel)
						c.Call(bad, testService, "Block", &KeyValue{}, &KeyValue{})
					} else {
						echo(bad, c, "x")
					}
				}()
				within(t, "the call", over)
				cancel()
				if err := echo(testContext(t), c, "x"); err != nil {
					t.Fatalf("a panic in call %d: another's call: %v", nth, err)
				}
				waitNoStreams(t, c)
			}
		})
	}
}
