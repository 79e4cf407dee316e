//go:build unix

package ttrpc

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"testing"
)

// readsYet reports whether the client's read loop has a goroutine.
func readsYet(c *Client) bool {
	c.conn.mu.Lock()
	defer c.conn.mu.Unlock()
	return c.reader.turn.loopRuns
}

// The first caller reads its own response: a client that makes one call needs no
// goroutine. The end releases the bytes that the caller has read of the next frame.
func TestFirstCallerReads(t *testing.T) {
	for ran := false; !ran; { // unless the test was slower than the timer
		c, w := wireClient(t)
		if !c.conn.ch.sock.refuses {
			t.Skip("the read loop reads first where the kernel, or an emulator, cannot refuse descriptors")
		}
		called := goErr(func() error { return c.Call(context.Background(), testService, "M", text("x"), &KeyValue{}) })
		id := w.read().id
		if _, err := w.Write(append(emptyResponse(id), 0, 0)); err != nil { // and two bytes of a header
			t.Fatal(err)
		}
		if err := within(t, "the call", called); err != nil {
			t.Fatal(err)
		}
		c.Close()
		if err := c.UserOnCloseWait(testContext(t)); err != nil {
			t.Fatal(err)
		}
		if ran = !readsYet(c); ran && c.conn.ch.chunk != nil {
			t.Error("bytes that a caller has read are left after the end")
		}
	}
}

// A client without calls comes to read, and notices the end of its connection.
func TestUncalledClientReads(t *testing.T) {
	closed := make(chan struct{})
	c, w := wireClient(t, WithOnClose(func() { close(closed) }))
	waitForLoop(t, c)
	w.Close()
	within(t, "OnClose", closed)
}

// A sender that waits on a connection that has ended starts no read loop.
func TestSenderStartsNoLoopAfterEnd(t *testing.T) {
	c, _ := wireClient(t)
	c.Close()
	was := readsYet(c)
	s := new(slot)
	c.senderWaits(s)
	c.senderGoesOn(s)
	if readsYet(c) && !was {
		t.Error("the read loop has started after the end")
	}
}

// emptyResponse returns the frame of a response without a message.
func emptyResponse(id streamID) []byte {
	body := mustMarshal(&Response{})
	frame := make([]byte, headerLength, headerLength+len(body)+headerLength)
	putHeader(frame, header{id: id, typ: messageTypeResponse, length: uint32(len(body))})
	return append(frame, body...)
}

// A peer that refuses the connection before the first call closes it, and may say why. The
// end of the connection has that reason, also when the request could not be written.
func TestFirstCallToRefuser(t *testing.T) {
	for greeting, want := range map[string]string{
		"":                                 "closed the connection before it sent anything",
		"HTTP/1.1 400 Bad Request\r\n\r\n": "the peer speaks HTTP",
	} {
		ours, theirs := socketPair(t)
		if _, err := theirs.Write([]byte(greeting)); err != nil {
			t.Fatal(err)
		}
		theirs.Close()
		c := NewClient(ours)
		if err := c.Call(testContext(t), testService, "M", text("x"), &KeyValue{}); !errors.Is(err, ErrClosed) {
			t.Errorf("%q: the call: got %v, want ErrClosed", greeting, err)
		}
		if err := c.UserOnCloseWait(testContext(t)); err != nil {
			t.Fatal(err)
		}
		if err := c.Err(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: the connection ended by %v, want %q", greeting, err, want)
		}
	}
}

// afterContext is a context whose own AfterFunc package context calls: the watch on it has a
// goroutine.
type afterContext struct{ context.Context }

func (c afterContext) AfterFunc(f func()) (stop func() bool) { return context.AfterFunc(c.Context, f) }

// watchers returns how many goroutines watch contexts.
func watchers() int {
	b := make([]byte, 1<<20)
	return strings.Count(string(b[:runtime.Stack(b, true)]), "created by github.com/containerd/ttrpc.watchContext")
}

// An idle client watches no context of its last callers: that would keep the context in
// memory. Between callers in a row the watch stays, also until the read loop first runs.
func TestIdleClientWatchesNoContext(t *testing.T) {
	_, addr := newTestServer(t, echoMethods())
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	for i := 0; i < 20; i++ {
		c := dialTest(t, addr)
		for j := 0; j < 3; j++ {
			if err := echo(afterContext{ctx}, c, "x"); err != nil {
				t.Fatal(err)
			}
		}
		waitForLoop(t, c)
	}
	waitFor(t, "the end of the watches", func() bool { return watchers() == 0 })
}
