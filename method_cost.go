package ttrpc

import (
	"sync/atomic"
	"time"
)

// methodCost is a moving average of how long a method's handler runs. It falls faster
// than it rises, since other work on the machine makes a quick handler look slow, but
// never the other way round. Several goroutines may add to it at once: a lost sample
// does not matter.
type methodCost struct {
	average atomic.Int64 // nanoseconds and 1; 0 before the first sample
}

// add counts a sample. It counts as ten times limit at the most, so that one alone
// does not bring a low average above limit: it may have been held up by something
// else.
func (mc *methodCost) add(d, limit time.Duration) {
	average := int64(min(d, 10*limit))
	if old := mc.average.Load() - 1; old >= 0 {
		difference := average - old
		if difference > 0 {
			average = old + difference/16
		} else {
			average = old + difference/4
		}
	}
	mc.average.Store(average + 1)
}

// below says whether the average is known to be at most limit.
func (mc *methodCost) below(limit time.Duration) bool {
	average := mc.average.Load()
	return average != 0 && average <= int64(limit)
}
