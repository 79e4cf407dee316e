package ttrpc

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

// Handing a call to a goroutine of its own costs more than most handlers do. So on a
// busy server the read loop runs the handlers itself that are known to be quick,
// and writes their responses together. While it does it lends out the right to read:
// when a handler takes long all the same, the watchdog starts another read loop that
// goes on where this one stopped, and this one ends with the call. The method's calls
// then have goroutines of their own for a while (backoff), so that a handler that is
// slow now and then holds up others but rarely.

const (
	// quickHandler is how long a method's handler may take on average to be
	// run by the read loop. A goroutine of its own costs about as
	// much, and gains nothing below it even where other cores are idle.
	quickHandler = 5 * time.Microsecond

	// handlerGrace is how long it may take before another read loop takes over.
	handlerGrace = 300 * time.Microsecond

	// defaultBusyInterval is how soon after another a request comes on a server
	// that is busy. With a call now and then the watchdog would cost more than the
	// goroutine.
	defaultBusyInterval = 250 * time.Microsecond
)

// mayRunHere reports whether the read loop runs the next call of m itself. On
// connections that are no kernel sockets it does not: a multiplexer that is not read
// for a moment may lose the connection.
func (sc *serverConn) mayRunHere(m *method) bool {
	if sc.conn.ch.sock == nil || sc.server.cfg.goroutinePerCall {
		return false
	}
	busy := sc.server.busy(clock()) || sc.conn.ch.frameBuffered()
	return busy && m.cost.below(quickHandler) && m.inline.ready()
}

// busy reports whether a request has come a busyInterval ago at most, on any
// connection: there is one watchdog for all of them. now is the clock.
func (s *Server) busy(now int64) bool {
	ago := now - s.lastRequest.Load()
	if ago > int64(defaultBusyInterval/8) { // spares other cores that a line of their caches changes
		s.lastRequest.Store(now)
	}
	return ago < int64(s.cfg.busyInterval)
}

// runHere runs a call on the read loop. It returns errReadLent when another read loop
// has taken over in the meantime.
func (sc *serverConn) runHere(call *serverCall) error {
	call.lease = &sc.lease
	returned := false
	defer func() {
		if !returned && call.lease != nil {
			sc.readOn() // the handler called runtime.Goexit, and reading goes on elsewhere
		}
	}()
	call.run()
	returned = true
	if call.lease == nil {
		return errReadLent
	}
	return nil
}

// readOn starts another read loop in place of one that cannot go on.
func (sc *serverConn) readOn() { go sc.readLoop() }

// errReadLent ends a read loop whose right to read another one has.
var errReadLent = errors.New("another goroutine reads")

// A lease is the right to read a connection while its holder runs a handler.
// Either the holder ends it, and reads on, or the watchdog takes it.
type lease struct {
	since  atomic.Int64 // clock when the handler began; 0 while none runs
	method *method      // whose handler it is; set before begin

	watchdog *watchdog
	taken    func() // starts another read loop

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
		l.method.inline.failed() // before the next call of it is read
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
		l.taken()
	}
	return runs
}
