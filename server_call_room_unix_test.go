//go:build unix

package ttrpc

import (
	"context"
	"runtime"
	"testing"
)

// heldPair is servedPair with a call of the method Hold whose handler waits until proceed
// is closed, and returns what ret returns.
func heldPair(t *testing.T, ret func() (any, error), opts ...ServerOpt) (sc *serverConn, w *wire, proceed func()) {
	t.Helper()
	began, wait := make(chan struct{}), make(chan struct{})
	sc, theirs := servedPair(t, &ServiceDesc{Methods: map[string]Method{
		"Hold": func(context.Context, func(any) error) (any, error) {
			close(began)
			<-wait
			return ret()
		},
	}}, opts...)
	w = newWire(theirs)
	w.request(1, "Hold", 0, text("x"))
	within(t, "the handler", began)
	return sc, w, func() { close(wait) }
}

func goodbye() (any, error) { return text("x"), nil }

// fillRoom takes all room of a connection.
func fillRoom(t *testing.T, cn *conn) (n int) {
	t.Helper()
	waitFor(t, "an empty queue", func() bool {
		n, _ := cn.ch.w.room.load()
		return n == 0
	})
	n = cn.ch.w.room.limit
	if !cn.ch.w.room.tryTake(n) {
		t.Fatal("there is no room")
	}
	return n
}

// A call whose handler ends its goroutine in the panic handler waits for room, as any
// other, and answers then.
func TestEndingCallWaitsForRoom(t *testing.T) {
	end := func(context.Context, string, any, []byte) error {
		runtime.Goexit()
		return nil
	}
	sc, w, proceed := heldPair(t, func() (any, error) { panic("x") }, WithServerPanicHandler(end))
	n := fillRoom(t, sc.conn)
	proceed()
	waitFor(t, "a sender that waits", func() bool {
		_, waiting := sc.conn.ch.w.room.load()
		return waiting == 1
	})
	sc.conn.ch.w.room.give(n)
	if id, resp := w.readResponse(); id != 1 || resp.Status.GetCode() == 0 {
		t.Errorf("got %v on stream %d", resp, id)
	}
}

// A call whose response gets no room any more leaves the table.
func TestCallLeavesTableWithoutRoom(t *testing.T) {
	sc, _, proceed := heldPair(t, goodbye)
	sc.conn.ch.w.room.close(ErrClosed)
	proceed()
	waitFor(t, "an empty table", func() bool { return tableSize(sc.conn) == 0 })
}

// The response of a call that has ended early gives its room back.
func TestLateResponseGivesRoomBack(t *testing.T) {
	sc, _, proceed := heldPair(t, goodbye)
	sc.remove(sc.lookup(1), ErrStreamClosed, func() {})
	proceed()
	waitFor(t, "the end of the call", func() bool { return sc.running.Load() == 0 })
	waitFor(t, "an empty queue", func() bool {
		n, _ := sc.conn.ch.w.room.load()
		return n == 0
	})
}

// The answer to a refused request counts as the last response.
func TestRefusalIsLastReply(t *testing.T) {
	sc, theirs := servedPair(t, echoMethods())
	w := newWire(theirs)
	w.request(1, "NoMethod", 0, text("x"))
	w.readResponse()
	if sc.conn.lastReply.Load() == 0 {
		t.Error("the connection has no last reply")
	}
}

// A response that cannot be encoded leaves no buffer behind.
func TestUnencodedResponseIsReleased(t *testing.T) {
	sc := &serverConn{conn: scriptedConn(t, memOnly(), &scriptedEndpoint{})}
	call := &serverCall{sc: sc, method: &method{fullName: "/s/M"}}
	keepLedger(t, func() {
		if _, err := call.encodeResponse(&changingMessage{says: 10, is: 5}); err == nil {
			t.Error("no error")
		}
	})
}

// A control frame counts as a reply: beyond the limit the read loop waits.
func TestControlFramesFillReplies(t *testing.T) {
	for queued, want := range map[int]bool{0: false, replyLimit: true} {
		sc := &serverConn{conn: scriptedConn(t, memOnly(), &scriptedEndpoint{})}
		sc.conn.ch.w.queueReplies = queued
		sc.queueControl(settingsFrame(settings{}))
		if got := sc.conn.reader.repliesFull; got != want {
			t.Errorf("with %d bytes of replies: full %v, want %v", queued, got, want)
		}
	}
}

func memOnly() *memConn {
	near, _ := memPipe(0)
	return near
}
