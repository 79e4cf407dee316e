package ttrpc

import "sync/atomic"

const (
	firstBackoff = 128
	maxBackoff   = firstBackoff << 10
	goodUses     = 16 // successes needed for each use that a failure cost
)

// A backoff decides whether to try an optimization that usually pays: running a handler on
// the read loop, or yielding before a write. After a failure, the next firstBackoff uses go
// without the optimization, and after each further failure twice as many, up to
// maxBackoff. goodUses times as many uses without a failure halve that number, so that an
// isolated failure is soon forgotten.
//
// Any goroutine may call the methods; counts lost in races do not matter.
type backoff struct {
	length atomic.Int32 // the number of uses that the last failure cost; 0 for none
	uses   atomic.Int32 // uses since that backoff; negative during a backoff
}

// ready counts a use, and reports whether to try the optimization.
func (bo *backoff) ready() bool {
	length := bo.length.Load()
	if length == 0 {
		return true
	}
	uses := bo.uses.Add(1)
	if uses <= 0 {
		return false
	}
	if uses > goodUses*length {
		if length /= 2; length < firstBackoff {
			length = 0
		}
		bo.length.Store(length)
		bo.uses.Store(0)
	}
	return true
}

// failed is called when the optimization did not pay. Of concurrent failures only one
// lengthens the backoff.
func (bo *backoff) failed() {
	length := bo.length.Load()
	if bo.uses.Load() >= 0 {
		length = min(max(2*length, firstBackoff), maxBackoff)
		bo.length.Store(length)
	}
	bo.uses.Store(-length)
}
