//go:build unix

package ttrpc

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"testing"
	"time"
)

// A caller that has the role of the reader waits in a system call. These tests show
// that its context and the end of the connection get it out of there.

func readerRole(c *conn) readRole {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.reader.role
}

// leads waits a moment for a receiver to take the role of the reader. Whether one
// does is a matter of time, for nobody has the role for a moment only.
func leads(c *conn) bool {
	for deadline := time.Now().Add(5 * time.Millisecond); time.Now().Before(deadline); {
		if readerRole(c) == readByReceiver {
			return true
		}
		time.Sleep(100 * time.Microsecond)
	}
	return false
}

// leading starts waits until one of them leads, after calls that have the reading
// goroutine leave the role. It returns the error that wait will return, and what
// ends its context.
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
		if leads(c.conn) {
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

// The end of a caller's context ends the read of the caller who leads, of unary
// calls and of streams.
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

// A handler that leads stops reading at its deadline.
func TestDeadlineOfLeadingHandler(t *testing.T) {
	ended := make(chan error, 1)
	desc := echoMethods()
	desc.Streams["Wait"] = Stream{StreamingClient: true, StreamingServer: true, Handler: func(_ context.Context, ss StreamServer) (any, error) {
		for {
			var m KeyValue
			if err := ss.RecvMsg(&m); err != nil {
				ended <- err
				return nil, err
			}
			if err := ss.SendMsg(&m); err != nil {
				return nil, err
			}
		}
	}}
	sc, theirs := servedPair(t, desc)
	w := newWire(theirs)
	id := streamID(1)
	for led := 0; led < 3; id += 2 {
		const limit = 100 * time.Millisecond
		w.write(header{id: id, typ: messageTypeRequest, flags: flagRemoteOpen | flagNoData},
			wireMarshal(&Request{Service: testService, Method: "Wait", TimeoutNano: int64(limit)}))
		for i := 0; i < 3; i++ {
			w.data(id, 0, &KeyValue{Value: "x"})
			w.read()
		}
		if leads(sc.conn) {
			led++
		}
		if err := within(t, "the handler", ended); err != context.DeadlineExceeded {
			t.Fatalf("the handler: got %v, want DeadlineExceeded", err)
		}
		w.readResponse()
		if id > 2000 {
			t.Fatal("the handler never leads")
		}
	}
}

// Close returns the call of the caller who leads while the socket is still open,
// because what streams have sent is still being written.
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
			c.conn.ch.mu.Lock()
			open = c.conn.ch.err == nil
			c.conn.ch.mu.Unlock()
			return err
		})
		if !leads(c.conn) {
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

// A handler that reads for its stream does not run the handlers of other requests
// that it reads, however quick they are known to be: its own stream would wait.
func TestLeadingHandlerRunsNoOther(t *testing.T) {
	stacks := make(chan string, 1)
	desc := echoMethods()
	desc.Methods["Stack"] = func(context.Context, func(any) error) (any, error) {
		buf := make([]byte, 64<<10)
		stacks <- string(buf[:runtime.Stack(buf, false)])
		return &KeyValue{}, nil
	}
	sc, theirs := servedPair(t, desc)
	w := newWire(theirs)
	w.request(1, "EchoStream", flagRemoteOpen, &KeyValue{Value: "x"})
	w.read()
	for led, id := 0, streamID(3); led < 5; id += 2 {
		if id > 2000 {
			t.Fatal("the handler never leads")
		}
		w.data(1, 0, &KeyValue{Value: "x"})
		w.read()
		if !leads(sc.conn) {
			continue
		}
		led++
		makeQuick(t, sc.server, "Stack")
		w.request(id, "Stack", 0, &KeyValue{})
		if f := w.read(); f.id != id {
			t.Fatalf("got %v, want the response on stream %d", f.header, id)
		}
		if stack := within(t, "the handler's stack", stacks); strings.Contains(stack, ".(*conn).lead(") {
			t.Fatalf("a handler runs in another's RecvMsg:\n%s", stack)
		}
	}
	w.Close()
	waitFor(t, "the end of the connection", func() bool { return errors.Is(connErr(sc.conn), ErrClosed) })
}

func connErr(c *conn) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}
