package ttrpc

import "sync/atomic"

const (
	firstBackoff = 128
	maxBackoff   = firstBackoff << 10
	goodUses     = 16 // for each use that a failure cost
)

// A backoff says whether to take a chance that usually pays: running a handler on the
// read loop, yielding before a write. After a failure the next firstBackoff uses do
// without, and each time that it fails again, twice as many: a chance that fails once
// in a while soon costs more than it brings. goodUses as many uses without a failure
// halve that again: one that was an accident is soon forgotten.
//
// Any goroutine may call the methods; a count that is lost between two of them does
// not matter.
type backoff struct {
	length atomic.Int32 // how many uses the last failure cost; 0 for none
	uses   atomic.Int32 // since then; negative while the chance is not taken
}

// ready counts a use, and reports whether to take the chance.
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

// failed is called when the chance did not pay. Of two failures at once only one
// counts.
func (bo *backoff) failed() {
	length := bo.length.Load()
	if bo.uses.Load() >= 0 {
		length = min(max(2*length, firstBackoff), maxBackoff)
		bo.length.Store(length)
	}
	bo.uses.Store(-length)
}
