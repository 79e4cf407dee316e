package ttrpc

import "sync/atomic"

// A lease is the right to read a connection while its read loop runs a handler. The
// read loop lends the right out before, and reclaims it after; in between the watchdog
// may let the lease expire, once, and then another read loop reads.
//
// A lease decides and remembers, and does nothing else. The read loop and the watchdog
// use it at the same time without a lock: each method is one step that cannot be
// divided, and TestLeaseWalk tries all orders of them.
type lease struct {
	since  atomic.Int64 // clock when the handler began; 0 while the right is not lent out
	listed atomic.Bool  // the watchdog looks at the lease, or is about to
	seen   bool         // it was lent out at the watchdog's last look; only the watchdog's
}

// lend lends the right out. now is the clock, and later than at the lend before.
func (l *lease) lend(now int64) { l.since.Store(now) }

// lent reports whether the right is lent out.
func (l *lease) lent() bool { return l.since.Load() != 0 }

// reclaim takes back the right that was lent at start. It returns false when the lease
// has expired: another read loop has the right.
func (l *lease) reclaim(start int64) bool { return l.since.CompareAndSwap(start, 0) }

// expire ends a lease that has lasted for longer than handlerGrace, and reports whether
// it did: then the caller has another read loop take over.
func (l *lease) expire(now int64) bool {
	since := l.since.Load()
	return since != 0 && now-since > int64(handlerGrace) && l.since.CompareAndSwap(since, 0)
}

// enlist reports whether the caller must put the lease into the watchdog's list, after
// lend: the watchdog does not look at it.
func (l *lease) enlist() bool { return !l.listed.Load() && l.listed.CompareAndSwap(false, true) }

// inUse reports whether the right is lent out, or was at the last look.
func (l *lease) inUse() bool {
	lent, seen := l.lent(), l.seen
	l.seen = lent
	return lent || seen
}

// delist says that the watchdog does not look at the lease any more. It must see then
// that the right is not lent out, or enlist the lease again: a read loop lends first and
// enlists then, and so one of the two sees the other.
func (l *lease) delist() { l.listed.Store(false) }
