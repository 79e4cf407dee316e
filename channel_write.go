package ttrpc

import (
	"math"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// gatherLength is the length of the longest frame that shares a write with others on
	// a kernel socket.
	gatherLength = 16 << 10

	// batchLength is the size of the buffers in which frames share a write.
	batchLength = 64 << 10

	// packetLength is the longest write that frames share on other connections, where a
	// write may be a message of a multiplexer: every release reads that much at once.
	packetLength = minReadLength

	// replyLimit limits the queued bytes of replies to refused frames. Beyond it the
	// read loop waits: see conn.waitReplies.
	replyLimit = 64 << 10
)

// writer is the writing half of a channel: a queue of encoded frames, written by one
// goroutine at a time, the flusher. Any goroutine may call the methods.
//
// A sender takes room in the queue (room.take), enqueues its frame under the lock that
// orders frames, and flushes without that lock. If there is no flusher, the sender becomes
// the flusher. On a kernel socket it then writes as much as the socket accepts without
// waiting, in at most inlineWrites rounds, and leaves the rest to a goroutine. On other
// connections, and for a sender with more to send (flushLater), a goroutine writes
// everything. The flusher ends when the queue is empty.
//
// The flusher writes in rounds: a round is the whole queue at its beginning. Offsets count
// the bytes sent on the connection.
type writer struct {
	conn     net.Conn
	sock     *socket      // nil when conn is not a kernel socket
	progress atomic.Int64 // rises with every write of at least one byte
	failed   func(error)  // called once, without locks, when writing fails

	// stuckSince is the clock when the flusher began to wait for the peer to read; 0
	// while the flusher does not wait. On connections that are not kernel sockets, every
	// write counts as such a wait. See awaitWritten and checkPeer.
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

	// The offsets at the end of the queue, of the current round and of the written bytes;
	// the last is updated at the end of a round.
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

// enqueue adds an encoded frame, for which the caller has taken room, and takes over its
// buffer. It never blocks; flush must follow. After a write error it drops the frame: the
// connection is about to end.
func (w *writer) enqueue(buf *buffer) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.enqueueLocked(buf)
}

// enqueueAndClaim is enqueue and claim in one step. It sets end to the offset at which the
// frame ends.
func (w *writer) enqueueAndClaim(buf *buffer, end *int64) (flusher bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	*end = w.enqueueLocked(buf)
	return w.claimLocked()
}

// enqueueLocked implements enqueue. It returns the offset at which the frame ends.
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

// writtenBytes returns the number of bytes written on the connection. It is exact once
// writing has failed.
func (w *writer) writtenBytes() int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.writtenEnd
}

// enqueueReply is enqueue for the read loop, which cannot wait for room to answer a refused
// frame. It reports whether the queued replies exceed replyLimit: then the read loop waits
// for replyRoom before it reads the next frame.
func (w *writer) enqueueReply(buf *buffer) (full bool) {
	n := len(buf.b)
	w.room.overdraw(n)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.queueReplies += n
	w.enqueueLocked(buf)
	return w.err == nil && w.queueReplies+w.roundReplies > replyLimit
}

// enqueueControl is enqueue for a frame that must not wait for room. Of these there are
// three at most for each call (its first window, a later one, cancel), and a few for each
// connection.
func (w *writer) enqueueControl(buf *buffer) {
	w.room.overdraw(len(buf.b))
	w.enqueue(buf)
}

// replyRoom returns a channel that is closed when the queued replies are down to
// replyLimit, or nothing can be written any more. Only the read loop, which queues replies,
// calls it.
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

// written returns a channel that is closed when all frames queued so far are written, or
// nothing can be written any more.
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

// whenFlushed calls f once, without locks, when all frames queued so far are written or
// nothing can be written any more. The caller runs f if that is so already, otherwise the
// flusher or the goroutine that ends writing.
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

// patience is the time for which awaitWritten waits for a peer that accepts nothing. The
// time before the call counts too, so that connections to hung peers are closed without a
// wait.
const patience = 5 * time.Millisecond

// awaitWritten waits until all frames queued so far are written, nothing can be written any
// more, or the peer has not read for patience. Its callers have ended the connection, which
// closes the socket after maxLinger at most.
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

// gatherLocked appends buf to the queue and returns the queue. It copies small frames into
// one buffer, so that one write sends them.
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

// fail ends writing because of err: it drops the queue and releases all waiting goroutines.
// The flusher calls it after a write error, and channel.close. Only the first call counts.
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
