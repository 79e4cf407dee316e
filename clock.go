package ttrpc

import (
	"sync/atomic"
	"time"
)

// clock is a monotonic time in nanoseconds, never 0.
func clock() int64 { return int64(time.Since(clockStart)) + 1 }

var clockStart = time.Now()

// pauseClock measures how long reading was paused, in all. One goroutine
// begins and ends pauses; any may ask. In doubt it says too much, which lets a
// slow receiver have more time.
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
