//go:build unix

package ttrpc

import (
	"context"
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
