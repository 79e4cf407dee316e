package ttrpc

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

// This file is the flusher: see writer.

// inlineWrites is the number of rounds that a sender writes, mostly for others, before a
// goroutine takes over as the flusher.
const inlineWrites = 4

// flush makes sure that the queued frames are written: by the caller if it can without
// waiting, or by another flusher. It does not block.
func (w *writer) flush() {
	if w.claim() {
		w.writeClaimed()
	}
}

// flushLater is flush for a sender with more to send: a goroutine of its own writes while
// the sender adds to the queue.
func (w *writer) flushLater() {
	if w.claim() {
		go w.writeAll(w.begin(), 0)
	}
}

// claim makes the caller the flusher and returns true, unless there is a flusher or the
// queue is empty.
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

// begin begins the first round of a flusher, and returns the frames of the round.
func (w *writer) begin() []*buffer {
	w.mu.Lock()
	defer w.mu.Unlock()
	spare := w.spare
	w.spare = nil
	return w.beginLocked(spare)
}

// beginLocked begins a round: it takes the whole queue and makes spare the queue.
func (w *writer) beginLocked(spare []*buffer) []*buffer {
	queue := w.queue
	w.queue, w.roundEnd = spare, w.queueEnd
	w.roundReplies, w.queueReplies = w.queueReplies, 0
	return queue
}

// writeClaimed writes the queue; the caller is the flusher. On a kernel socket it writes as
// much as it can without waiting, and a goroutine writes the rest; on other connections a
// goroutine writes everything.
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

// writeClaimedWaiting is writeClaimed for a caller that may block: on a connection that is
// not a kernel socket it writes everything itself.
func (w *writer) writeClaimedWaiting() {
	if w.sock != nil {
		w.writeClaimed()
		return
	}
	w.writeAll(w.begin(), 0)
}

// next ends the round in which queue was written and begins the next one. It returns the
// frames of the next round, or nil if there are none: then the caller is no longer the
// flusher.
func (w *writer) next(queue []*buffer) []*buffer {
	written := 0
	for i, buf := range queue {
		written += len(buf.b)
		buf.release()
		queue[i] = nil
	}
	if cap(queue) > 64 {
		queue = nil // do not keep the large slice of a burst
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

// writeNow writes as much of queue as the socket accepts without waiting. It returns the
// number of bytes written, and reports whether all of queue is written.
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

// writeAll is the flusher's goroutine, or runs in the caller of writeClaimedWaiting. It
// writes queue, except for the first skip bytes, which are written already, and the rounds
// after it. It ends when the queue is empty or the connection fails or is closed, and may
// block for as long as the peer does not read.
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

// failRound ends the round of queue, of which written bytes were written, and ends all
// writing because of err.
func (w *writer) failRound(queue []*buffer, written int, err error) {
	releaseAll(queue)
	w.mu.Lock()
	w.writtenEnd += int64(written)
	w.mu.Unlock()
	w.fail(err)
}

// writeFrame writes b, for as long as it takes, and returns the number of bytes written.
// On a connection that is not a kernel socket, b is one frame, or several with a total of
// at most packetLength. A longer frame is written as releases write it: its first 4096
// bytes, then the rest. A multiplexer makes a message of each write, and the peer reads
// with buffers of these sizes.
func (w *writer) writeFrame(b []byte) (n int, err error) {
	if len(b) == 0 {
		return 0, nil // written before
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

// maxTimeouts limits consecutive writes that report an expired deadline after its removal:
// TLS reports it forever.
const maxTimeouts = 10

// writeConn writes b with conn.Write and returns the number of bytes written. It removes a
// deadline that other code has set, and writes the rest.
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
