package ttrpc

import (
	"container/list"
	"context"
	"math"
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
)

// writer is the writing half of a channel: a queue of encoded frames, written
// by one goroutine at a time, the flusher. There is none while the queue is
// empty. On a kernel socket it is a caller that has just added a frame and
// writes what the socket takes without waiting; when that is not all, and
// always on other connections, it is a goroutine that ends with the queue.
//
// Senders take room in the queue before they add to it: reserve, then enqueue
// under whatever lock orders their frames, then flush without it.
type writer struct {
	ch        *channel
	maxQueued int
	progress  atomic.Int64 // rises with everything that is written, be it part of a frame
	failed    func(error)  // called once, without locks, when writing fails

	// stuckSince is the clock when the flusher's goroutine began to wait for the peer
	// to read, 0 while it does not wait: see awaitWritten.
	stuckSince atomic.Int64

	mu       sync.Mutex
	queue    []*buffer // frames to write, small ones gathered
	spare    []*buffer // the queue's other slice, empty, while there is no flusher
	reserved int       // bytes promised to senders, queued or being written
	flushing bool      // a flusher exists
	waiters  list.List // of *roomWaiter, in order of arrival
	err      error     // first write error; nothing is queued after it
	refused  bool      // senders get no more room: see refuse
	flushed  []func()  // see whenFlushed
	awaited  []awaited // see written

	queuedTotal  int64       // bytes ever queued
	writtenTotal int64       // bytes ever written, counted when a round is over or has failed
	replyBytes   int         // bytes of replies in the queue: see enqueueReply
	replyMarks   []replyMark // where they end, in order

	repliesWritten chan struct{} // see replyRoom; nil while nobody waits
}

// roomWaiter is a sender that waits for room.
type roomWaiter struct {
	n     int
	ready chan struct{} // closed when n bytes are reserved for it, or there is no more room for anyone
}

func (w *writer) init(ch *channel, maxQueued int, failed func(error)) {
	w.ch, w.maxQueued, w.failed = ch, maxQueued, failed
}

// reserve waits until the queue has room. A sender gets it while less than
// maxQueued bytes are taken, so the queue is never longer than that and one
// message. What is reserved goes to enqueue or back to unreserve. The end of ctx
// ends the waiting, and so does over, which may be nil.
func (w *writer) reserve(ctx context.Context, over <-chan struct{}, n int) error {
	done := ctx.Done() // the caller's code, which may panic: before there is something to undo
	w.mu.Lock()
	if ok, err := w.tryReserveLocked(n); ok || err != nil {
		w.mu.Unlock()
		return err
	}
	waiter := &roomWaiter{n: n, ready: make(chan struct{})}
	element := w.waiters.PushBack(waiter)
	w.mu.Unlock()

	select {
	case <-waiter.ready:
		w.mu.Lock()
		defer w.mu.Unlock()
		return w.closedLocked()
	case <-over:
	case <-done:
	}
	w.stopWaiting(waiter, element)
	if err := ctx.Err(); err != nil {
		return err
	}
	return ErrStreamClosed
}

// stopWaiting takes back what reserve has begun.
func (w *writer) stopWaiting(waiter *roomWaiter, element *list.Element) {
	w.mu.Lock()
	defer w.mu.Unlock()
	select {
	case <-waiter.ready: // the room came at the same time
		w.unreserveLocked(waiter.n)
	default:
		w.waiters.Remove(element)
	}
}

// tryReserve is reserve for those who cannot wait.
func (w *writer) tryReserve(n int) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	ok, _ := w.tryReserveLocked(n)
	return ok
}

func (w *writer) tryReserveLocked(n int) (bool, error) {
	if err := w.closedLocked(); err != nil {
		return false, err
	}
	if w.reserved >= w.maxQueued || w.waiters.Len() > 0 {
		return false, nil
	}
	w.reserved += n
	return true, nil
}

// refuse ends the waiting for room, for senders that wait and that come. What is
// queued is still written.
func (w *writer) refuse() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.refused = true
	w.unreserveLocked(0)
}

// closedLocked returns why there is no room any more, nil while there may be.
func (w *writer) closedLocked() error {
	if w.err == nil && w.refused {
		return ErrClosed
	}
	return w.err
}

// unreserve gives room back that was not used.
func (w *writer) unreserve(n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.unreserveLocked(n)
}

func (w *writer) unreserveLocked(n int) {
	w.reserved -= n
	for w.waiters.Len() > 0 && (w.reserved < w.maxQueued || w.closedLocked() != nil) {
		waiter := w.waiters.Remove(w.waiters.Front()).(*roomWaiter)
		w.reserved += waiter.n
		close(waiter.ready)
	}
}

// enqueue adds an encoded frame for which room is reserved, and takes over its
// buffer. It never blocks; flush must follow. After a write error the frame is
// dropped: the connection is about to end.
func (w *writer) enqueue(buf *buffer) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.enqueueLocked(buf)
}

// tryEnqueue is reserve, enqueue and claim at once, if there is room. It sets end as
// enqueueLocked returns it. When it says that the caller is the flusher, writeClaimed
// must follow.
func (w *writer) tryEnqueue(buf *buffer, end *int64) (queued, flusher bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if ok, _ := w.tryReserveLocked(len(buf.b)); !ok {
		return false, false
	}
	*end = w.enqueueLocked(buf)
	return true, w.claimLocked()
}

// enqueueAndClaim is enqueue and claim, and sets end as enqueueLocked returns it.
func (w *writer) enqueueAndClaim(buf *buffer, end *int64) (flusher bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	*end = w.enqueueLocked(buf)
	return w.claimLocked()
}

// enqueueLocked returns where the frame ends: it is out when that many bytes are
// written in all.
func (w *writer) enqueueLocked(buf *buffer) (end int64) {
	if w.err != nil {
		w.unreserveLocked(len(buf.b))
		buf.release()
		return math.MaxInt64 // never
	}
	w.queuedTotal += int64(len(buf.b))
	w.queue = w.gatherLocked(buf)
	return w.queuedTotal
}

// writtenBytes returns how many bytes are written in all, once writing has failed.
func (w *writer) writtenBytes() int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.writtenTotal
}

// enqueueReply is enqueue for whoever reads, who cannot wait for room to answer
// what it refuses. It says true when replies of more than replyLimit wait: the
// one who reads waits for replyRoom before the next.
func (w *writer) enqueueReply(buf *buffer) (full bool) {
	n := len(buf.b)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.reserved += n
	if w.err == nil {
		w.replyBytes += n
		w.replyMarks = append(w.replyMarks, replyMark{end: w.queuedTotal + int64(n), n: n})
	}
	w.enqueueLocked(buf)
	return w.replyBytes > replyLimit
}

// replyRoom returns a channel that is closed when no more replies than replyLimit
// wait, and how far writing has progressed.
func (w *writer) replyRoom() (<-chan struct{}, int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.replyBytes <= replyLimit || w.err != nil {
		return closedChan, w.progress.Load()
	}
	if w.repliesWritten == nil {
		w.repliesWritten = make(chan struct{})
	}
	return w.repliesWritten, w.progress.Load()
}

// replyMark is a reply in the queue.
type replyMark struct {
	end int64 // queuedTotal with it
	n   int
}

// countRepliesLocked forgets the replies that are written.
func (w *writer) countRepliesLocked() {
	written := 0
	for written < len(w.replyMarks) && w.replyMarks[written].end <= w.writtenTotal {
		w.replyBytes -= w.replyMarks[written].n
		written++
	}
	w.replyMarks = append(w.replyMarks[:0], w.replyMarks[written:]...)
	if w.repliesWritten != nil && w.replyBytes <= replyLimit {
		close(w.repliesWritten)
		w.repliesWritten = nil
	}
}

// awaited is somebody who waits until bytes are written.
type awaited struct {
	end  int64         // writtenTotal that it waits for
	done chan struct{} // closed then, or when writing has failed
}

// written returns a channel that is closed when everything that is queued now is
// written, or nothing can be any more.
func (w *writer) written() <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil || w.writtenTotal == w.queuedTotal {
		return closedChan
	}
	a := awaited{end: w.queuedTotal, done: make(chan struct{})}
	w.awaited = append(w.awaited, a)
	return a.done
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

// notifyLocked wakes those who wait for no more than has been written.
func (w *writer) notifyLocked() {
	for len(w.awaited) > 0 && (w.awaited[0].end <= w.writtenTotal || w.err != nil) {
		close(w.awaited[0].done)
		w.awaited = w.awaited[1:]
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
	case w.ch.sock == nil && len(tail.b)+len(buf.b) > packetLength, len(buf.b) > gatherLength:
		return append(w.queue, buf)
	case tail.free() >= len(buf.b):
	case w.ch.sock == nil:
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
	releaseAll(w.queue)
	w.queue, w.spare = nil, nil
	w.unreserveLocked(0)
	w.notifyLocked()
	if w.repliesWritten != nil {
		close(w.repliesWritten)
		w.repliesWritten = nil
	}
	flushed := w.takeFlushedLocked()
	w.mu.Unlock()
	runAll(flushed)
	w.failed(err)
}

func releaseAll(queue []*buffer) {
	for _, buf := range queue {
		buf.release()
	}
}

// whenFlushed calls f once, from any goroutine or this one, when everything
// that was queued is written or cannot be any more.
func (w *writer) whenFlushed(f func()) {
	w.mu.Lock()
	if w.err == nil && (w.flushing || len(w.queue) > 0) {
		w.flushed = append(w.flushed, f)
		f = nil
	}
	w.mu.Unlock()
	if f != nil {
		f()
	}
}

func (w *writer) takeFlushedLocked() []func() {
	f := w.flushed
	w.flushed = nil
	return f
}

func runAll(funcs []func()) {
	for _, f := range funcs {
		f()
	}
}
