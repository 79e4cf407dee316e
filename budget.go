package ttrpc

import (
	"container/list"
	"context"
	"sync"
)

// A budget is the room in a writer's queue, in bytes. A sender takes room before it
// queues a frame, and the flusher gives that back when the frame is written. Senders
// that find none wait, in the order in which they came. A closed budget has no room for
// anybody any more. Any goroutine may call the methods; mu is the innermost lock.
type budget struct {
	limit int // set before the first use

	mu       sync.Mutex
	reserved int        // bytes that are taken
	waiters  *list.List // of *roomWaiter, in order of arrival; nil until the first
	err      error      // of a closed budget; nil while it is open
}

// roomWaiter is a sender that waits for room.
type roomWaiter struct {
	n     int
	ready chan struct{} // closed when n bytes are taken for it, or the budget is closed
}

// tryTake is take for a sender that cannot wait. It reports whether there was room.
func (b *budget) tryTake(n int) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	ok, _ := b.tryTakeLocked(n)
	return ok
}

// tryTakeLocked returns false and the error of a closed budget, or false and nil when
// the sender has to wait.
func (b *budget) tryTakeLocked(n int) (bool, error) {
	if b.err != nil || b.reserved >= b.limit || b.waitersLocked() > 0 {
		return false, b.err
	}
	b.reserved += n
	return true, nil
}

// take takes n bytes, and waits until there is room: less than limit is taken. So no
// more is ever taken than limit and one message. The end of ctx ends the waiting with
// its error; that of the sender's stream, which closes done, with ErrStreamClosed. done
// may be nil.
func (b *budget) take(ctx context.Context, done <-chan struct{}, n int) error {
	ctxDone := ctx.Done() // the caller's code, which may panic: before there is something to undo
	b.mu.Lock()
	if ok, err := b.tryTakeLocked(n); ok || err != nil {
		b.mu.Unlock()
		return err
	}
	waiter := &roomWaiter{n: n, ready: make(chan struct{})}
	if b.waiters == nil {
		b.waiters = list.New()
	}
	element := b.waiters.PushBack(waiter)
	b.mu.Unlock()

	select {
	case <-waiter.ready:
		b.mu.Lock()
		defer b.mu.Unlock()
		return b.err
	case <-done:
	case <-ctxDone:
	}
	b.stopWaiting(waiter, element)
	if err := ctx.Err(); err != nil {
		return err
	}
	return ErrStreamClosed
}

// waitersLocked returns how many senders wait.
func (b *budget) waitersLocked() int {
	if b.waiters == nil {
		return 0
	}
	return b.waiters.Len()
}

// stopWaiting takes back what take has begun.
func (b *budget) stopWaiting(waiter *roomWaiter, element *list.Element) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if isClosed(waiter.ready) {
		b.giveLocked(waiter.n) // the room came at the same time
	} else {
		b.waiters.Remove(element)
	}
}

// overdraw takes n bytes whether there is room or not, for the goroutine that reads:
// replyLimit bounds its replies.
func (b *budget) overdraw(n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.reserved += n
}

// give gives n bytes back.
func (b *budget) give(n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.giveLocked(n)
}

func (b *budget) giveLocked(n int) {
	b.reserved -= n
	for b.waitersLocked() > 0 && (b.reserved < b.limit || b.err != nil) {
		waiter := b.waiters.Remove(b.waiters.Front()).(*roomWaiter)
		b.reserved += waiter.n
		close(waiter.ready)
	}
}

// close ends the waiting for room because of err, for senders that wait and that come.
// The first err counts.
func (b *budget) close(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err == nil {
		b.err = err
		b.giveLocked(0)
	}
}
