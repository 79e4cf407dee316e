package ttrpc

import "sync/atomic"

// A lease is the right to read a server's connection while its read loop runs a handler.
// The read loop lends the right out before the handler runs and reclaims it afterwards. In
// between, the watchdog may let the lease expire, once: then another read loop reads.
//
// A lease only keeps state and decides. The read loop and the watchdog use it concurrently
// without a lock: each method is one atomic step, and TestLeaseWalk tries all orders of
// the methods.
type lease struct {
	since  atomic.Int64 // clock when the handler began; 0 while the right is not lent out
	listed atomic.Bool  // the lease is in the watchdog's list, or about to be
	seen   bool         // lent out at the watchdog's last look; owned by the watchdog
}

// lend lends the right out. now is the clock, later than at the previous lend.
func (l *lease) lend(now int64) { l.since.Store(now) }

// lent reports whether the right is lent out.
func (l *lease) lent() bool { return l.since.Load() != 0 }

// reclaim takes back the right that was lent at start. It returns false if the lease has
// expired: then another read loop has the right.
func (l *lease) reclaim(start int64) bool { return l.since.CompareAndSwap(start, 0) }

// expire ends a lease that has lasted longer than handlerGrace, and reports whether it did.
// If so, the caller must start another read loop.
func (l *lease) expire(now int64) bool {
	since := l.since.Load()
	return since != 0 && now-since > int64(handlerGrace) && l.since.CompareAndSwap(since, 0)
}

// enlist reports whether the caller, after lend, must put the lease into the watchdog's
// list, because the list does not have it.
func (l *lease) enlist() bool { return !l.listed.Load() && l.listed.CompareAndSwap(false, true) }

// inUse reports whether the right is lent out, or was at the last look.
func (l *lease) inUse() bool {
	lent, seen := l.lent(), l.seen
	l.seen = lent
	return lent || seen
}

// delist marks the lease as not listed. The watchdog must then check that the right is not
// lent out, and otherwise enlist the lease again: a read loop lends before it enlists, so
// one of the two notices the other.
func (l *lease) delist() { l.listed.Store(false) }
