package ttrpc

import (
	"log"
	"sync"
	"time"
)

// logLinesPerSecond keeps a peer from filling a disk with its failures.
const logLinesPerSecond = 10

// limitedLogger writes so many lines a second, and how many it left out.
type limitedLogger struct {
	to Logger // nil for the standard logger

	mu      sync.Mutex
	second  time.Time // start of the second that lines counts in
	lines   int
	skipped int
}

func (l *limitedLogger) Printf(format string, args ...any) {
	ok, skipped := l.allow(time.Now())
	if !ok {
		return
	}
	if skipped > 0 {
		l.write("ttrpc: %d log lines were left out", skipped)
	}
	l.write("ttrpc: "+format, args...)
}

func (l *limitedLogger) write(format string, args ...any) {
	if l.to != nil {
		l.to.Printf(format, args...)
		return
	}
	log.Printf(format, args...)
}

// allow says whether a line may be written now, and how many were not since
// the last.
func (l *limitedLogger) allow(now time.Time) (ok bool, skipped int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now.Sub(l.second) >= time.Second {
		l.second, l.lines = now, 0
	}
	if l.lines == logLinesPerSecond {
		l.skipped++
		return false, 0
	}
	l.lines++
	skipped, l.skipped = l.skipped, 0
	return true, skipped
}
