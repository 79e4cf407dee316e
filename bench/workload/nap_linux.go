package workload

import (
	"syscall"
	"time"
)

// napUntil sleeps in the kernel. time.Sleep is a millisecond late in a process
// that is idle otherwise: the runtime's poller counts in milliseconds.
func napUntil(t time.Time) {
	for {
		left := time.Until(t)
		if left <= 0 {
			return
		}
		ts := syscall.NsecToTimespec(int64(left))
		syscall.Nanosleep(&ts, nil) // ends early at a signal
	}
}
