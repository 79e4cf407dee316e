package ttrpc

import (
	"errors"
	"sync"
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
	call.onReadLoop = true
	returned := false
	defer func() {
		if !returned && call.onReadLoop {
			sc.startReadLoop() // the handler called runtime.Goexit, and reading goes on elsewhere
		}
	}()
	call.run()
	returned = true
	if !call.onReadLoop {
		return errReadLent
	}
	return nil
}

// lend lends out the right to read for a handler of m. now is the clock.
func (sc *serverConn) lend(now int64, m *method) {
	sc.lentFor = m
	sc.lease.lend(now)
	if sc.lease.enlist() {
		sc.server.watchdog.add(sc)
	}
}

// leaseExpired has another read loop take over from one whose handler takes too long.
// The watchdog calls it.
func (sc *serverConn) leaseExpired() {
	sc.lentFor.inline.failed() // before the next call of it is read
	sc.startReadLoop()
}

// startReadLoop starts another read loop in place of one that cannot go on.
func (sc *serverConn) startReadLoop() { go sc.readLoop() }

// errReadLent ends a read loop whose right to read another one has.
var errReadLent = errors.New("another goroutine reads")

// watchdog looks at the leases of a server's connections that use theirs. Its
// goroutine is there while there are any.
type watchdog struct {
	mu    sync.Mutex
	conns []*serverConn // whose leases it looks at
	runs  bool
	quit  chan struct{} // closed by end; nil before the first add
	ended bool
}

// add adds a connection to the list. The watchdog drops it when its lease is not used
// any more.
func (wd *watchdog) add(sc *serverConn) {
	wd.mu.Lock()
	defer wd.mu.Unlock()
	wd.conns = append(wd.conns, sc)
	if wd.quit == nil {
		wd.quit = make(chan struct{})
	}
	if !wd.runs && !wd.ended {
		wd.runs = true
		go wd.run()
	}
}

// end ends the goroutine at once: no connection is left, and none comes.
func (wd *watchdog) end() {
	wd.mu.Lock()
	defer wd.mu.Unlock()
	if wd.quit != nil && !wd.ended {
		close(wd.quit)
	}
	wd.ended = true
}

// run ends when no lease is left. Where the timers of the system are coarse the
// ticks come a millisecond apart.
func (wd *watchdog) run() {
	ticker := time.NewTicker(handlerGrace)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			if !wd.look(clock()) {
				return
			}
		case <-wd.quit:
			return
		}
	}
}

// look looks at every lease and reports whether any is left.
func (wd *watchdog) look(now int64) bool {
	wd.mu.Lock()
	var expired []*serverConn
	kept := wd.conns[:0]
	for _, sc := range wd.conns {
		l := &sc.lease
		if l.expire(now) {
			expired = append(expired, sc)
		} else if !l.inUse() {
			l.delist()
			if !l.lent() || !l.enlist() {
				continue
			}
		}
		kept = append(kept, sc)
	}
	for i := len(kept); i < len(wd.conns); i++ {
		wd.conns[i] = nil
	}
	wd.conns = kept
	wd.runs = len(kept) > 0
	runs := wd.runs
	wd.mu.Unlock()
	for _, sc := range expired {
		sc.leaseExpired()
	}
	return runs
}
