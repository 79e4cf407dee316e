package ttrpc

import (
	"sync/atomic"
	"time"
)

// methodCost is a moving average of the running time of a method's handler. It falls
// faster than it rises, since other work on the machine can make a quick handler look
// slow, but never a slow handler quick. Any goroutine may call the methods; samples lost
// in races do not matter.
type methodCost struct {
	average atomic.Int64 // nanoseconds and 1; 0 before the first sample
}

// add adds a sample, capped at ten times limit, so that a single sample does not raise a
// low average above limit: other work may have delayed that call.
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

// below reports whether the average is known and below limit.
func (mc *methodCost) below(limit time.Duration) bool {
	average := mc.average.Load()
	return average != 0 && average <= int64(limit)
}
