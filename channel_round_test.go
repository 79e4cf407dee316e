package ttrpc

import (
	"io"
	"net"
	"testing"
	"time"
)

// takingConn accepts some bytes, and then no more.
type takingConn struct {
	net.Conn
	room    int
	longest int // write
}

func (c *takingConn) Write(b []byte) (int, error) {
	c.longest = max(c.longest, len(b))
	n := min(len(b), c.room)
	c.room -= n
	if n < len(b) {
		return n, io.ErrClosedPipe
	}
	return n, nil
}

// After a failure the written bytes are those of all frames of the round, so that calls
// whose requests are out may still be answered.
func TestFailureInMidRound(t *testing.T) {
	const first, second = 100, 20
	var w writer
	failed := 0
	w.init(&takingConn{room: first + second}, nil, 1<<20, func(error) { failed++ })
	var queue []*buffer
	for i := 0; i < 3; i++ {
		buf := getBuffer(first)
		buf.b = buf.b[:first]
		queue = append(queue, buf)
	}
	w.writeAll(queue, 0)
	if got := w.writtenBytes(); failed != 1 || got != first+second {
		t.Errorf("%d failures, %d bytes written, want 1, %d", failed, got, first+second)
	}
}

// A long frame is written in pieces if the writer may do so, each of which is progress.
func TestLongFrameInPieces(t *testing.T) {
	for pieces, want := range map[bool]int{true: batchLength, false: 3*batchLength - minReadLength} {
		conn := &takingConn{room: 4 * batchLength}
		w := &writer{conn: conn, pieces: pieces}
		if n, err := w.writeFrame(make([]byte, 3*batchLength)); n != 3*batchLength || err != nil {
			t.Fatalf("got %d, %v", n, err)
		}
		if w.stuckSince.Load() != 0 {
			t.Error("the write still counts as stuck")
		}
		if conn.longest > want {
			t.Errorf("pieces: %v: a write of %d bytes, want %d at most", pieces, conn.longest, want)
		}
	}
}

// A round that is over keeps no buffer.
func TestRoundKeepsNothing(t *testing.T) {
	var w writer
	w.init(nil, nil, 1<<20, nil)
	queue := []*buffer{getBuffer(1)}
	w.next(queue)
	if queue[0] != nil {
		t.Error("the queue of the next round holds a buffer of this one")
	}
	for length, want := range map[int]int{64: 64, 65: 0} {
		w.next(make([]*buffer, 0, length))
		if got := cap(w.spare); got != want {
			t.Errorf("after a round of %d frames there is room for %d, want %d", length, got, want)
		}
	}
}

// A payload's buffer that is too small is released.
func TestBodyGrows(t *testing.T) {
	keepLedger(t, func() {
		ch := &channel{body: getBuffer(1), current: header{length: 1 << 16}}
		ch.body.b = append(ch.body.b, 1, 2, 3)
		ch.growBody(1 << 15)
		if got := ch.body.bytes(); len(got) != 3 || got[2] != 3 {
			t.Errorf("got %v", got)
		}
		ch.body.release()
	})
}

// A frame that is queued after an error gives its room back.
func TestRoomAfterError(t *testing.T) {
	var w writer
	w.init(nil, nil, 1<<20, func(error) {})
	if !w.room.tryTake(1) {
		t.Fatal("there is no room")
	}
	w.timeout = &writeTimeout{timer: time.AfterFunc(time.Hour, func() {}), limit: time.Hour}
	w.fail(io.ErrClosedPipe)
	if w.timeout.timer.Stop() {
		t.Error("the timer of the write timeout runs after an error")
	}
	w.flushing = true
	w.checkPeer()
	if w.timeout.runs {
		t.Error("the timer starts again after an error")
	}
	buf := getBuffer(1)
	buf.b = append(buf.b, 1)
	w.enqueue(buf)
	if w.room.reserved != 0 {
		t.Errorf("%d bytes of room are taken", w.room.reserved)
	}
}

// lyingConn says that it has written more, or less than nothing.
type lyingConn struct {
	net.Conn
	n int
}

func (c lyingConn) Write([]byte) (int, error) { return c.n, nil }

func TestWriteOfLyingConn(t *testing.T) {
	for _, n := range []int{-1, 3} {
		w := &writer{conn: lyingConn{n: n}}
		if got, err := w.writeConn(make([]byte, 2)); got != 0 || err == nil || err == io.ErrShortWrite {
			t.Errorf("a write of %d bytes: got %d, %v", n, got, err)
		}
	}
}

// A buffer with just the room is not replaced.
func TestRoomThatJustFits(t *testing.T) {
	buf := getBuffer(1)
	ch := &channel{body: buf, current: header{length: 1 << 16}}
	ch.growBody(buf.free())
	if ch.body != buf {
		t.Error("the payload's buffer is replaced")
	}
	small := getBuffer(1)
	small.b = append(small.b, make([]byte, buf.free())...)
	var w writer
	w.queue = []*buffer{buf}
	if w.queue = w.gatherLocked(small); len(w.queue) != 1 || w.queue[0] != buf {
		t.Error("the queue's buffer is replaced")
	}
	releaseAll(w.queue)
}
