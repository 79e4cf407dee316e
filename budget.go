package ttrpc

import (
	"container/list"
	"context"
	"sync"
)

// A budget is the room in a writer's queue, in bytes. A sender takes room before it queues
// a frame, and the flusher gives the room back once the frame is written. Senders that
// find no room wait in the order of their arrival. A closed budget refuses all senders. Any
// goroutine may call the methods; mu is the innermost lock.
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

// tryTake takes n bytes without waiting, and reports whether there was room.
func (b *budget) tryTake(n int) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	ok, _ := b.tryTakeLocked(n)
	return ok
}

// tryTakeLocked takes n bytes and returns true if there is room. Otherwise it returns false
// and the error of a closed budget, or false and nil if the sender has to wait.
func (b *budget) tryTakeLocked(n int) (bool, error) {
	if b.err != nil || b.reserved >= b.limit || b.waitersLocked() > 0 {
		return false, b.err
	}
	b.reserved += n
	return true, nil
}

// take takes n bytes once less than limit is taken, so that the total never exceeds limit
// by more than one message. It stops waiting with the error of ctx when ctx ends, and with
// ErrStreamClosed when done is closed, which marks the end of the sender's stream. done may
// be nil.
func (b *budget) take(ctx context.Context, done <-chan struct{}, n int) error {
	ctxDone := ctx.Done() // the caller's code may panic: call it while there is nothing to undo
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

// stopWaiting undoes the start of a wait in take.
func (b *budget) stopWaiting(waiter *roomWaiter, element *list.Element) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if isClosed(waiter.ready) {
		b.giveLocked(waiter.n) // room was taken for the waiter at the same time
	} else {
		b.waiters.Remove(element)
	}
}

// overdraw takes n bytes even if there is no room. The read loop uses it for its replies,
// which replyLimit bounds.
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

// close closes the budget: waiting and later senders get err. The first err counts.
func (b *budget) close(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err == nil {
		b.err = err
		b.giveLocked(0)
	}
}
