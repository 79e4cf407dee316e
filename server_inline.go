package ttrpc

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

// Handing a call to a goroutine of its own costs more than most handlers do. So
// the reading goroutine runs those itself that are known to be quick, and
// writes their responses together. While it does it lends out the right to
// read: when a handler takes long all the same, the watchdog starts another
// reading goroutine that goes on where this one stopped, and this one ends with
// the call. A quick call is thus never more than two handlerGraces behind a slow
// one.

const (
	// quickHandler is how long a method's handler may take on average to be
	// run by the reading goroutine. A goroutine of its own costs about as
	// much, and gains nothing below it even where other cores are idle.
	quickHandler = 5 * time.Microsecond

	// handlerGrace is how long it may take once in a while.
	handlerGrace = 300 * time.Microsecond

	// slowCost is what the average becomes when a handler took longer than
	// that: a dozen quick runs later it is low enough again.
	slowCost = 100 * time.Microsecond
)

// methodCost is a moving average of how long a method's handler runs, or how long
// a handler is away. It falls faster than it rises, since other work on the machine
// makes a quick handler look slow, but never the other way round. Several
// goroutines may add to it at once: a lost sample does not matter.
type methodCost struct {
	average atomic.Int64 // nanoseconds and 1; 0 before the first sample
}

// add counts a sample. It counts as ten times limit at the most, so that one alone
// does not bring a low average above limit: it may have been held up by something
// else.
func (c *methodCost) add(d, limit time.Duration) {
	average := int64(min(d, 10*limit))
	if old := c.average.Load() - 1; old >= 0 {
		difference := average - old
		if difference > 0 {
			average = old + difference/16
		} else {
			average = old + difference/4
		}
	}
	c.average.Store(average + 1)
}

// below says whether the average is known to be at most limit.
func (c *methodCost) below(limit time.Duration) bool {
	average := c.average.Load()
	return average != 0 && average <= int64(limit)
}

// errReadLent ends a reading goroutine whose right to read another one has.
var errReadLent = errors.New("another goroutine reads")

// A lease is the right to read a connection while its holder runs a handler.
// Either the holder ends it, and reads on, or the watchdog takes it.
type lease struct {
	since atomic.Int64 // clock when the handler began; 0 while none runs
	cost  *methodCost  // of its method, nil for none; set before begin

	watchdog *watchdog
	taken    func() // starts another reading goroutine

	watched atomic.Bool // in watchdog.leases
	seen    int64       // since at the watchdog's last look; only its goroutine's
}

// begin lends the right to read out. now is the clock.
func (l *lease) begin(now int64) {
	l.since.Store(now)
	// The watchdog clears watched before it looks at since for the last time,
	// and this is the other way round: one of them sees the other.
	if !l.watched.Load() && l.watched.CompareAndSwap(false, true) {
		l.watchdog.watch(l)
	}
}

// end takes the right back, for the handler that began at start. It says false
// when another goroutine has it.
func (l *lease) end(start int64) bool { return l.since.CompareAndSwap(start, 0) }

// check takes the lease when it has been out for too long, and says whether it
// did, and whether the lease was in use since the last look.
func (l *lease) check(now int64) (expired, active bool) {
	since := l.since.Load()
	if since != 0 && now-since > int64(handlerGrace) && l.since.CompareAndSwap(since, 0) {
		if l.cost != nil {
			// The method is not quick any more, before the next call of it is read.
			l.cost.average.Store(int64(slowCost))
		}
		return true, true
	}
	active = since != 0 || l.seen != 0
	l.seen = since
	return false, active
}

// forget says that the watchdog does not look any more; false if it has to,
// because a handler has just begun.
func (l *lease) forget() bool {
	l.watched.Store(false)
	return l.since.Load() == 0 || !l.watched.CompareAndSwap(false, true)
}

// watchdog looks at the leases of a server's connections that use theirs. Its
// goroutine is there while there are any.
type watchdog struct {
	mu     sync.Mutex
	leases []*lease
	runs   bool
	quit   chan struct{} // closed by end; nil before the first watch
	ended  bool
}

// watch adds a lease. The watchdog drops it when it is not used any more.
func (w *watchdog) watch(l *lease) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.leases = append(w.leases, l)
	if w.quit == nil {
		w.quit = make(chan struct{})
	}
	if !w.runs && !w.ended {
		w.runs = true
		go w.run()
	}
}

// end ends the goroutine at once: no connection is left, and none comes.
func (w *watchdog) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.quit != nil && !w.ended {
		close(w.quit)
	}
	w.ended = true
}

// run ends when no lease is left. Where the timers of the system are coarse the
// ticks come a millisecond apart.
func (w *watchdog) run() {
	ticker := time.NewTicker(handlerGrace)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			if !w.look(clock()) {
				return
			}
		case <-w.quit:
			return
		}
	}
}

// look checks every lease and says whether any is left.
func (w *watchdog) look(now int64) bool {
	w.mu.Lock()
	var expired []*lease
	kept := w.leases[:0]
	for _, l := range w.leases {
		over, active := l.check(now)
		if over {
			expired = append(expired, l)
		}
		if active || !l.forget() {
			kept = append(kept, l)
		}
	}
	for i := len(kept); i < len(w.leases); i++ {
		w.leases[i] = nil
	}
	w.leases = kept
	w.runs = len(kept) > 0
	runs := w.runs
	w.mu.Unlock()
	for _, l := range expired {
		l.taken() // takes conn.mu, under which leases begin
	}
	return runs
}
