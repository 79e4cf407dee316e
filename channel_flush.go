package ttrpc

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

// This file is the flusher: see writer.

// inlineWrites is how many rounds of writing a caller does for others
// before a goroutine takes over.
const inlineWrites = 4

// flush sees to it that what is queued gets written. It does not block.
func (w *writer) flush() {
	if w.claim() {
		w.writeClaimed()
	}
}

// flushLater is flush for a sender that has more to send at once: a goroutine
// writes, while the sender adds to the queue.
func (w *writer) flushLater() {
	if w.claim() {
		go w.writeAll(w.begin(), 0)
	}
}

// claim makes the caller the flusher, unless there is one or nothing to do.
func (w *writer) claim() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.claimLocked()
}

func (w *writer) claimLocked() bool {
	if w.flushing || len(w.queue) == 0 {
		return false
	}
	w.flushing = true
	return true
}

// begin begins the first round of a flusher, and returns what it is to write.
func (w *writer) begin() []*buffer {
	w.mu.Lock()
	defer w.mu.Unlock()
	spare := w.spare
	w.spare = nil
	return w.beginLocked(spare)
}

// beginLocked begins a round: it takes all that is queued, and leaves spare as the
// queue.
func (w *writer) beginLocked(spare []*buffer) []*buffer {
	queue := w.queue
	w.queue, w.roundEnd = spare, w.queueEnd
	w.roundReplies, w.queueReplies = w.queueReplies, 0
	return queue
}

// writeClaimed writes what is queued, as the flusher: on a socket as far as it
// goes without waiting, in a goroutine whatever else.
func (w *writer) writeClaimed() {
	queue := w.begin()
	if w.sock == nil {
		go w.writeAll(queue, 0)
		return
	}
	for i := 0; i < inlineWrites; i++ {
		written, done, err := w.writeNow(queue)
		if err != nil {
			w.failRound(queue, written, err)
			return
		}
		if !done {
			go w.writeAll(queue, written)
			return
		}
		if queue = w.next(queue); queue == nil {
			return
		}
	}
	go w.writeAll(queue, 0)
}

// writeClaimedWaiting is writeClaimed for a goroutine that nobody waits for: it writes
// itself on connections that are no sockets, too.
func (w *writer) writeClaimedWaiting() {
	if w.sock != nil {
		w.writeClaimed()
		return
	}
	w.writeAll(w.begin(), 0)
}

// next ends the round in which queue was written. It returns more to write, or
// nil, and then the caller is not the flusher any longer.
func (w *writer) next(queue []*buffer) []*buffer {
	written := 0
	for i, buf := range queue {
		written += len(buf.b)
		buf.release()
		queue[i] = nil
	}
	if cap(queue) > 64 {
		queue = nil // do not keep what a burst needed
	}
	w.room.give(written)
	w.mu.Lock()
	w.writtenEnd += int64(written)
	w.roundReplies = 0
	reached := w.marks.reach(w.writtenEnd)
	var more []*buffer
	if len(w.queue) > 0 && w.err == nil {
		more = w.beginLocked(queue[:0])
	} else {
		w.spare = queue[:0]
		w.flushing = false
	}
	w.mu.Unlock()
	reached.run()
	return more
}

// writeNow writes what the socket takes without waiting. It returns how many
// bytes of the queue that was, and whether that is all.
func (w *writer) writeNow(queue []*buffer) (written int, done bool, err error) {
	for _, buf := range queue {
		n, err := w.sock.tryWrite(buf.b)
		written += n
		if err != nil || n < len(buf.b) {
			return written, false, err
		}
	}
	return written, true, nil
}

// writeAll is the flusher's goroutine. It writes the queue, of which skip bytes
// are out already, and what comes after it, and ends when nothing is left or
// the connection fails or is closed. It may block for as long as the peer
// does not read.
func (w *writer) writeAll(queue []*buffer, skip int) {
	w.watchPeer()
	for queue != nil {
		written := 0
		for _, buf := range queue {
			done := min(skip, len(buf.b))
			skip -= done
			n, err := w.writeFrame(buf.b[done:])
			written += done + n
			if err != nil {
				w.failRound(queue, written, err)
				return
			}
		}
		queue = w.next(queue)
	}
}

// failRound ends the round in which queue was to be written, and all writing, because
// of err. The first written bytes of the queue are out.
func (w *writer) failRound(queue []*buffer, written int, err error) {
	releaseAll(queue)
	w.mu.Lock()
	w.writtenEnd += int64(written)
	w.mu.Unlock()
	w.fail(err)
}

// writeFrame writes b, waiting as long as it takes, and returns how much of it is out.
// On a connection that is not a kernel socket b is one frame, or several of up to
// packetLength in all. A longer one goes out as released versions write it: its first
// 4096 bytes, then the rest. A multiplexer makes a message of each write, and the peer
// reads it into buffers of that size.
func (w *writer) writeFrame(b []byte) (n int, err error) {
	if len(b) == 0 {
		return 0, nil // all of it went out before
	}
	if w.sock != nil {
		return w.sock.write(b)
	}
	if len(b) > minReadLength {
		if n, err = w.writeConn(b[:minReadLength]); err != nil {
			return n, err
		}
	}
	for err == nil && n < len(b) {
		piece := b[n:]
		if w.pieces && len(piece) > batchLength { // to see the progress
			piece = piece[:batchLength]
		}
		var written int
		written, err = w.writeConn(piece)
		n += written
	}
	return n, err
}

// maxTimeouts is how often in a row a read or write may report that a deadline has
// passed, though there is none any more: that of TLS does so for good.
const maxTimeouts = 10

// writeConn writes b with conn.Write, and returns how much of it is out. A deadline that
// somebody else has set is removed, and the rest is written.
func (w *writer) writeConn(b []byte) (written int, err error) {
	for timeouts := 0; ; timeouts++ {
		w.stuckSince.Store(clock())
		n, err := w.conn.Write(b[written:])
		w.stuckSince.Store(0)
		if n < 0 || n > len(b)-written {
			return written, fmt.Errorf("write of %d bytes, of %d", n, len(b)-written)
		}
		if n > 0 {
			written, timeouts = written+n, 0
			w.progress.Add(1)
		}
		switch {
		case err == nil && written < len(b):
			return written, io.ErrShortWrite
		case written == len(b), timeouts == maxTimeouts, !errors.Is(err, os.ErrDeadlineExceeded):
			return written, err
		}
		w.conn.SetWriteDeadline(time.Time{})
	}
}
