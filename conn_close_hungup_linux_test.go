//go:build linux

package ttrpc

import (
	"errors"
	"io"
	"net"
	"testing"
	"time"
)

// hungUp tells a peer that has closed the socket from one that has closed a side of it.
func TestHungUp(t *testing.T) {
	for name, test := range map[string]struct {
		close func(ours, theirs *net.UnixConn)
		want  bool
	}{
		"open":                     {func(_, _ *net.UnixConn) {}, false},
		"peer's reading side":      {func(_, theirs *net.UnixConn) { theirs.CloseRead() }, false},
		"peer's writing side":      {func(_, theirs *net.UnixConn) { theirs.CloseWrite() }, false},
		"peer":                     {func(_, theirs *net.UnixConn) { theirs.Close() }, true},
		"peer, with bytes to read": {func(_, theirs *net.UnixConn) { theirs.Write([]byte("x")); theirs.Close() }, true},
		"this side":                {func(ours, _ *net.UnixConn) { ours.Close() }, false},
	} {
		ours, theirs := socketPair(t)
		sock := newSocket(ours)
		test.close(ours, theirs)
		if got := sock.hungUp(); got != test.want {
			t.Errorf("closed: %s: got %v, want %v", name, got, test.want)
		}
	}

	ours, theirs := tcpPair(t)
	sock := newSocket(ours)
	if sock.hungUp() {
		t.Error("an open TCP connection")
	}
	theirs.SetLinger(0) // a reset
	theirs.Close()
	waitFor(t, "the end of the TCP connection", sock.hungUp)
}

// The messages that a server sent before it closed the connection arrive even if the client
// can write no more and receives them late.
func TestMessagesFromBeforeHangUp(t *testing.T) {
	const messages, pause = 12, 10 * time.Millisecond
	c, w := wireClient(t, WithClientLimits(Limits{MaxStreamBuffer: 1}), WithClientExtensions(false))
	cs, err := c.NewStream(testContext(t), &StreamDesc{StreamingServer: true}, testService, "M", text("x"))
	if err != nil {
		t.Fatal(err)
	}
	id := w.read().id
	for i := 0; i < messages; i++ {
		w.data(id, 0, text("x"))
	}
	w.write(header{id: id, typ: messageTypeData, flags: flagRemoteClosed | flagNoData}, nil)
	w.Close()
	c.writeFailed(io.ErrClosedPipe)
	c.conn.mu.Lock()
	c.conn.endTimer.Reset(2 * pause) // the limit is over
	c.conn.mu.Unlock()
	for i := 0; i < messages; i++ {
		time.Sleep(pause)
		if err := cs.RecvMsg(&KeyValue{}); err != nil {
			t.Fatalf("message %d: %v", i, err)
		}
	}
	if err := cs.RecvMsg(&KeyValue{}); err != io.EOF {
		t.Errorf("got %v, want EOF", err)
	}
	within(t, "the end of the connection", c.conn.done)
}

// A peer that has closed just its reading side is not waited for.
func TestNoHangUp(t *testing.T) {
	c, w := wireClient(t)
	w.Conn.(*net.UnixConn).CloseRead()
	c.conn.failUnlessHungUp(time.Millisecond, io.ErrClosedPipe)
	within(t, "the end of the connection", c.conn.done)
	if err := c.Err(); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("got %v, want the error of the write", err)
	}
}
