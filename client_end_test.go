package ttrpc

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
)

// endOf waits for the end of a client's connection and returns its reason.
func endOf(t *testing.T, c *Client) error {
	t.Helper()
	within(t, "Done", c.Done())
	err := c.Err()
	if !errors.Is(err, ErrClosed) {
		t.Errorf("Err: got %v, which is not ErrClosed", err)
	}
	return err
}

// Err returns the reason for the end of a connection, while calls return ErrClosed.
func TestClientErr(t *testing.T) {
	errBroken := errors.New("the wire is broken")
	for name, test := range map[string]struct {
		end  func(c *Client, far *memConn)
		is   error
		text string
	}{
		"Close":    {func(c *Client, _ *memConn) { c.Close() }, ErrClosed, "ttrpc: closed"},
		"refused":  {func(_ *Client, far *memConn) { far.Close() }, io.EOF, "before it sent anything"},
		"failure":  {func(_ *Client, far *memConn) { far.out.fail(errBroken, nil) }, errBroken, "the wire is broken"},
		"protocol": {func(_ *Client, far *memConn) { far.Write([]byte("HTTP/1.1 400 Bad Request")) }, ErrProtocol, ""},
	} {
		near, far := memPipe(1 << 16)
		c := NewClient(near)
		select {
		case <-c.Done():
			t.Errorf("%s: Done is closed before the end", name)
		default:
		}
		if err := c.Err(); err != nil {
			t.Errorf("%s: Err before the end: %v", name, err)
		}
		test.end(c, far)
		err := endOf(t, c)
		if !errors.Is(err, test.is) || !strings.Contains(err.Error(), test.text) {
			t.Errorf("%s: got %v, want %v with %q", name, err, test.is, test.text)
		}
		c.Close()
		if again := c.Err(); again.Error() != err.Error() {
			t.Errorf("%s: after Close: %v, not %v", name, again, err)
		}
		if err := echo(testContext(t), c, "x"); !errors.Is(err, ErrClosed) {
			t.Errorf("%s: a call got %v", name, err)
		}
		far.Close()
	}
}

// A peer that has answered before it went away has not refused the connection.
func TestClientErrAfterCalls(t *testing.T) {
	s, addr := newTestServer(t, echoMethods())
	c := dialTest(t, addr)
	if err := echo(testContext(t), c, "x"); err != nil {
		t.Fatal(err)
	}
	s.Close()
	err := endOf(t, c)
	if !errors.Is(err, io.EOF) || !strings.Contains(err.Error(), "the peer closed the connection: EOF") {
		t.Errorf("got %v", err)
	}
	if err := echo(testContext(t), c, "x"); err != ErrClosed {
		t.Errorf("a call got %v, want ErrClosed bare", err)
	}
}

// If the program closes the net.Conn behind the client's back, Err does not blame the peer.
func TestClientErrConnClosed(t *testing.T) {
	near, far := net.Pipe()
	defer far.Close()
	c := NewClient(near)
	near.Close()
	if err := endOf(t, c); !errors.Is(err, io.ErrClosedPipe) || strings.Contains(err.Error(), "peer") {
		t.Errorf("got %v", err)
	}
}

func TestZeroClientEnd(t *testing.T) {
	c := &Client{}
	if err := endOf(t, c); err != ErrClosed {
		t.Errorf("Err: got %v", err)
	}
	if err := c.Shutdown(context.Background()); err != nil {
		t.Errorf("Shutdown: %v", err)
	}
}

// Shutdown lets a call and a stream finish, refuses new ones, and then closes.
func TestClientShutdown(t *testing.T) {
	g := newGate()
	s, addr := newTestServer(t, g.service())
	closed := make(chan struct{})
	c := dialTest(t, addr, WithOnClose(func() { close(closed) }))
	ctx := testContext(t)
	call := g.call(t, c)
	cs, err := c.NewStream(ctx, &StreamDesc{StreamingClient: true, StreamingServer: true}, testService, "EchoStream", nil)
	if err != nil {
		t.Fatal(err)
	}
	shutdown := goErr(func() error { return c.Shutdown(ctx) })
	waitFor(t, "Shutdown to begin", func() bool {
		c.conn.mu.Lock()
		defer c.conn.mu.Unlock()
		return c.conn.unsent != nil
	})
	if err := echo(ctx, c, "x"); err != ErrClosed {
		t.Errorf("a new call: got %v, want ErrClosed", err)
	}
	if _, err := c.NewStream(ctx, &StreamDesc{StreamingServer: true}, testService, "Repeat", &KeyValue{Value: "x"}); err != ErrClosed {
		t.Errorf("a new stream: got %v, want ErrClosed", err)
	}
	if err := cs.SendMsg(&KeyValue{Value: "still there"}); err != nil {
		t.Fatal(err)
	}
	var got KeyValue
	if err := cs.RecvMsg(&got); err != nil || got.Value != "still there" {
		t.Fatalf("a stream that runs: got %q, %v", got.Value, err)
	}
	close(g.proceed)
	if err := within(t, "the call", call); err != nil {
		t.Errorf("the call that ran: %v", err)
	}
	select {
	case <-c.Done():
		t.Fatal("the connection has ended while a stream runs")
	default:
	}
	if err := cs.CloseSend(); err != nil {
		t.Fatal(err)
	}
	if err := cs.RecvMsg(&got); err != io.EOF {
		t.Errorf("the end of the stream: got %v", err)
	}
	if err := within(t, "Shutdown", shutdown); err != nil {
		t.Errorf("Shutdown: %v", err)
	}
	within(t, "OnClose", closed)
	if err := c.Err(); err != ErrClosed {
		t.Errorf("Err: got %v, want ErrClosed bare", err)
	}
	if err := c.Shutdown(ctx); err != nil {
		t.Errorf("a second Shutdown: %v", err)
	}
	serverIdle(t, s)
}

// Shutdown returns at the end of its context, and the shutdown goes on: a second Shutdown
// succeeds, and so does Close.
func TestClientShutdownContext(t *testing.T) {
	for _, byClose := range []bool{false, true} {
		g := newGate()
		_, addr := newTestServer(t, g.service())
		c := dialTest(t, addr)
		call := g.call(t, c)
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if err := c.Shutdown(ctx); err != context.Canceled {
			t.Errorf("Shutdown: got %v, want Canceled", err)
		}
		if err := c.Err(); err != nil {
			t.Errorf("the connection has ended: %v", err)
		}
		want := error(nil)
		if byClose {
			c.Close()
			want = ErrClosed
		}
		close(g.proceed)
		if err := within(t, "the call", call); err != want {
			t.Errorf("the call: got %v, want %v", err, want)
		}
		if err := c.Shutdown(testContext(t)); err != nil {
			t.Errorf("a second Shutdown: %v", err)
		}
	}
}

// A client whose only call is given up during Shutdown also closes.
func TestClientShutdownAbandonedCall(t *testing.T) {
	g := newGate()
	_, addr := newTestServer(t, g.service())
	c := dialTest(t, addr)
	ctx, cancel := context.WithCancel(context.Background())
	call := goErr(func() error { return c.Call(ctx, testService, "Wait", &KeyValue{}, &KeyValue{}) })
	within(t, "the handler", g.started)
	shutdown := goErr(func() error { return c.Shutdown(context.Background()) })
	cancel()
	if err := within(t, "the call", call); err != context.Canceled && err != ErrClosed {
		t.Errorf("the call: got %v", err)
	}
	if err := within(t, "Shutdown", shutdown); err != nil {
		t.Errorf("Shutdown: %v", err)
	}
}

// Shutdown ends even if callers do not stop, and each call gets its response or ErrClosed.
func TestRaceClientShutdown(t *testing.T) {
	for i := 0; i < 20; i++ {
		_, addr := newTestServer(t, echoMethods())
		c := dialTest(t, addr)
		ctx := testContext(t)
		const callers = 8
		results := make(chan error, callers)
		for j := 0; j < callers; j++ {
			go func() {
				for {
					if err := echo(ctx, c, "x"); err != nil {
						results <- err
						return
					}
				}
			}()
		}
		if err := c.Shutdown(ctx); err != nil {
			t.Fatal(err)
		}
		for j := 0; j < callers; j++ {
			if err := within(t, "a caller", results); err != ErrClosed {
				t.Errorf("a call: got %v, want a response or ErrClosed", err)
			}
		}
	}
}

// A zero Client behaves like a closed one.
func TestZeroClient(t *testing.T) {
	c := &Client{}
	if err := c.Call(context.Background(), testService, "Echo", &KeyValue{}, &KeyValue{}); err != ErrClosed {
		t.Errorf("Call: got %v, want ErrClosed", err)
	}
	if cs, err := c.NewStream(context.Background(), &StreamDesc{}, testService, "Repeat", &KeyValue{}); cs != nil || err != ErrClosed {
		t.Errorf("NewStream: got %v, %v, want ErrClosed", cs, err)
	}
	if err := c.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	if err := c.UserOnCloseWait(context.Background()); err != nil {
		t.Errorf("UserOnCloseWait: %v", err)
	}
}
