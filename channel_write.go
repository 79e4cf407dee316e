package ttrpc

import (
	"math"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// gatherLength is up to which size frames share a write on a kernel socket.
	gatherLength = 16 << 10

	// batchLength is the size of the buffers in which they do.
	batchLength = 64 << 10

	// packetLength is the longest write that a frame shares with others elsewhere,
	// where each write may be a message of a multiplexer: every release reads with
	// that much.
	packetLength = minReadLength

	// replyLimit is how many bytes of replies to refused frames may wait to be
	// written before reading does: see conn.waitReplies.
	replyLimit = 64 << 10
)

// writer is the writing half of a channel: a queue of encoded frames, written
// by one goroutine at a time, the flusher. There is none while the queue is
// empty. On a kernel socket it is a caller that has just added a frame and
// writes what the socket takes without waiting; when that is not all, and
// always on other connections, it is a goroutine that ends with the queue.
//
// Senders take room in the queue before they add to it: room.take, then enqueue
// under whatever lock orders their frames, then flush without it.
//
// The flusher writes in rounds: a round is all that the queue has when it begins.
// Offsets count the bytes that the connection sends, from its first.
type writer struct {
	conn     net.Conn
	sock     *socket      // nil when conn is not a kernel socket
	progress atomic.Int64 // rises with everything that is written, be it part of a frame
	failed   func(error)  // called once, without locks, when writing fails

	// stuckSince is the clock when the flusher's goroutine began to wait for the peer
	// to read, 0 while it does not wait: see awaitWritten.
	stuckSince atomic.Int64

	room    budget        // of frames in the queue and in the round
	timeout *writeTimeout // nil for none; set before the first write

	mu       sync.Mutex
	queue    []*buffer // frames to write, small ones gathered
	spare    []*buffer // the queue's other slice, empty, while there is no flusher
	flushing bool      // a flusher exists
	pieces   bool      // long frames may be written in pieces; set before the first write
	err      error     // first write error; nothing is queued after it
	marks    marks     // up to queueEnd; none once there is err

	// The end of the queue, of the round that is being written, and of what is written,
	// which is counted when a round is over or has failed.
	queueEnd, roundEnd, writtenEnd int64

	// Bytes of replies in the queue, and in the round: see enqueueReply.
	queueReplies, roundReplies int
}

func (w *writer) init(nc net.Conn, sock *socket, maxQueued int, failed func(error)) {
	w.conn, w.sock, w.failed = nc, sock, failed
	w.room.limit = maxQueued
	w.pieces = readsPieces(nc)
	if sock != nil {
		sock.w = w
	}
}

// enqueue adds an encoded frame that has its room, and takes over its buffer. It never
// blocks; flush must follow. After a write error the frame is dropped: the connection
// is about to end.
func (w *writer) enqueue(buf *buffer) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.enqueueLocked(buf)
}

// enqueueAndClaim is enqueue and claim, and sets end as enqueueLocked returns it.
func (w *writer) enqueueAndClaim(buf *buffer, end *int64) (flusher bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	*end = w.enqueueLocked(buf)
	return w.claimLocked()
}

// enqueueLocked returns the offset where the frame ends.
func (w *writer) enqueueLocked(buf *buffer) (end int64) {
	if w.err != nil {
		w.room.give(len(buf.b))
		buf.release()
		return math.MaxInt64 // never written
	}
	w.queueEnd += int64(len(buf.b))
	w.queue = w.gatherLocked(buf)
	return w.queueEnd
}

// writtenBytes returns how many bytes are written in all, once writing has failed.
func (w *writer) writtenBytes() int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.writtenEnd
}

// enqueueReply is enqueue for the goroutine that reads, which cannot wait for room to
// answer what it refuses. It reports whether replies of more than replyLimit wait: then
// that goroutine waits for replyRoom before the next.
func (w *writer) enqueueReply(buf *buffer) (full bool) {
	n := len(buf.b)
	w.room.overdraw(n)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.queueReplies += n
	w.enqueueLocked(buf)
	return w.err == nil && w.queueReplies+w.roundReplies > replyLimit
}

// replyRoom returns a channel that is closed when no more replies than replyLimit wait,
// or nothing can be written any more. The caller is the one who queues replies.
func (w *writer) replyRoom() <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.queueReplies+w.roundReplies <= replyLimit:
		return closedChan
	case w.queueReplies <= replyLimit:
		return w.writtenLocked(w.roundEnd)
	}
	return w.writtenLocked(w.queueEnd)
}

// written returns a channel that is closed when everything that is queued now is
// written, or nothing can be any more.
func (w *writer) written() <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.writtenLocked(w.queueEnd)
}

func (w *writer) writtenLocked(offset int64) <-chan struct{} {
	if !w.pendingLocked(offset) {
		return closedChan
	}
	m := mark{offset: offset, reached: make(chan struct{})}
	w.marks.add(m)
	return m.reached
}

// pendingLocked reports whether bytes up to offset are still to be written.
func (w *writer) pendingLocked(offset int64) bool {
	return w.err == nil && w.writtenEnd < offset
}

// whenFlushed calls f once, from any goroutine or this one, when everything
// that is queued now is written or nothing can be any more.
func (w *writer) whenFlushed(f func()) {
	w.mu.Lock()
	pending := w.pendingLocked(w.queueEnd)
	if pending {
		w.marks.add(mark{offset: w.queueEnd, run: f})
	}
	w.mu.Unlock()
	if !pending {
		f()
	}
}

// patience is how long awaitWritten waits for a peer that takes nothing. The time from
// before counts, too: many connections to peers that hang are closed without a wait.
const patience = 5 * time.Millisecond

// awaitWritten waits until everything that is queued is written or cannot be any more,
// or the peer has not read for too long. The end of the connection sets it a limit.
func (w *writer) awaitWritten() {
	written := w.written()
	for {
		wait := patience
		if since := w.stuckSince.Load(); since != 0 {
			wait -= time.Duration(clock() - since)
		}
		if wait <= 0 {
			return
		}
		timer := time.NewTimer(wait)
		select {
		case <-written:
			timer.Stop()
			return
		case <-timer.C:
		}
	}
}

// gatherLocked appends buf to the queue. It copies small frames together, so that they
// go out in one write.
func (w *writer) gatherLocked(buf *buffer) []*buffer {
	last := len(w.queue) - 1
	if last < 0 {
		return append(w.queue, buf)
	}
	tail := w.queue[last]
	var batch *buffer
	switch {
	case w.sock == nil && len(tail.b)+len(buf.b) > packetLength, len(buf.b) > gatherLength:
		return append(w.queue, buf)
	case tail.free() >= len(buf.b):
	case w.sock == nil:
		batch = getBuffer(packetLength)
	case len(tail.b) > gatherLength:
		return append(w.queue, buf)
	default:
		batch = getBuffer(batchLength)
	}
	if batch != nil {
		batch.b = append(batch.b, tail.b...)
		tail.release()
		w.queue[last], tail = batch, batch
	}
	tail.b = append(tail.b, buf.b...)
	buf.release()
	return w.queue
}

// fail records why writing has ended, drops what is queued and lets everyone
// who waits go. The flusher calls it, and conn.fail.
func (w *writer) fail(err error) {
	w.mu.Lock()
	if w.err != nil {
		w.mu.Unlock()
		return
	}
	w.err = err
	w.stopWatchingLocked()
	releaseAll(w.queue)
	w.queue, w.spare = nil, nil
	reached := w.marks.reach(math.MaxInt64)
	w.mu.Unlock()
	w.room.close(err)
	reached.run()
	w.failed(err)
}

func releaseAll(queue []*buffer) {
	for _, buf := range queue {
		buf.release()
	}
}
