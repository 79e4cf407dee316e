package ttrpc

import (
	"sync/atomic"
	"time"
)

// clock is a monotonic time in nanoseconds, never 0.
func clock() int64 { return int64(time.Since(clockStart)) + 1 }

var clockStart = time.Now()

// pauseClock measures the total time for which reading was paused. The goroutine that reads
// begins and ends pauses; any goroutine may ask for the total. A total taken during a
// change may be too large, which makes a later pause look shorter and gives a slow receiver
// more time.
type pauseClock struct {
	sum   atomic.Int64
	since atomic.Int64 // start of the present pause; 0 for none
}

func (pc *pauseClock) begin() { pc.since.Store(clock()) }

func (pc *pauseClock) end() {
	pc.sum.Add(clock() - pc.since.Load())
	pc.since.Store(0)
}

func (pc *pauseClock) total() time.Duration {
	since := pc.since.Load()
	sum := pc.sum.Load()
	if since != 0 {
		sum += clock() - since
	}
	return time.Duration(sum)
}
