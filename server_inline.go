package ttrpc

import (
	"errors"
	"sync"
	"time"
)

// A handler runs in one of three places:
//
//   - On a busy server the read loop runs handlers that are known to be quick itself, and
//     writes their responses together: a goroutine per call costs more than most handlers.
//     Meanwhile the read loop lends out the right to read: if a handler takes long all the
//     same, the watchdog starts another read loop, which goes on where the first one stopped,
//     and the first one ends with the call. Further calls of the method then get goroutines
//     of their own for a while (backoff), so that an occasionally slow handler rarely holds
//     up others.
//   - Other calls of a busy server get goroutines of their own, and the read loop reads on.
//   - A call that comes alone is handed over: the goroutine that has read it runs the handler
//     and ends, and a new goroutine is the read loop. The handler does not wait for a
//     goroutine to be scheduled, and the one that waits for the next request has the small
//     stack of a new goroutine.

const (
	// quickHandler is the longest average running time of a handler that the read loop
	// runs. A goroutine costs about as much, and for shorter handlers it gains nothing
	// even if other cores are idle.
	quickHandler = 5 * time.Microsecond

	// handlerGrace is the time after which another read loop takes over from a running
	// handler.
	handlerGrace = 300 * time.Microsecond

	// defaultBusyInterval is the longest interval between two requests on a busy server.
	// For rarer calls the watchdog would cost more than the goroutines.
	defaultBusyInterval = 250 * time.Microsecond
)

// startCall runs a call, or has it run. It returns errReadLent or errHandedOver if another
// goroutine must read.
func (sc *serverConn) startCall(call *serverCall) error {
	switch {
	case !sc.busy():
		sc.handedOver = call
		return errHandedOver
	case sc.mayRunHere(call.method):
		return sc.runHere(call)
	}
	go call.runAlone()
	return nil
}

// runHandedOver has another goroutine read, and runs the call that has been handed over.
func (sc *serverConn) runHandedOver() {
	call := sc.handedOver
	sc.handedOver = nil
	if !call.method.cost.below(quickHandler) {
		sc.conn.ch.flushReplies() // they do not wait for the handler; the response of a quick one shares their write
	}
	sc.startReadLoop()
	call.runAlone()
}

// busy reports whether another request is likely to follow at once. The first request of a
// connection says nothing about that.
func (sc *serverConn) busy() bool {
	busy := sc.server.busy(clock()) && sc.requested
	sc.requested = true
	return busy || sc.conn.ch.frameBuffered()
}

// mayRunHere reports whether the read loop of a busy server runs the next call of m itself.
// It does so only on kernel sockets: a multiplexer that is not read for a moment may drop
// the connection.
func (sc *serverConn) mayRunHere(m *method) bool {
	return sc.conn.ch.sock != nil && !sc.server.cfg.goroutinePerCall &&
		m.cost.below(quickHandler) && m.inline.ready()
}

// busy reports whether the last request, on any connection, came within busyInterval: there
// is one watchdog for all connections. now is the clock.
func (s *Server) busy(now int64) bool {
	ago := now - s.lastRequest.Load()
	if ago > int64(defaultBusyInterval/8) { // writing less often spares the other cores' caches
		s.lastRequest.Store(now)
	}
	return ago < int64(s.cfg.busyInterval)
}

// runHere runs a call on the read loop. It returns errReadLent if another read loop has
// taken over in the meantime.
func (sc *serverConn) runHere(call *serverCall) error {
	call.onReadLoop = true
	returned := false
	defer func() {
		if !returned && call.onReadLoop {
			sc.startReadLoop() // the handler called runtime.Goexit: another goroutine must read
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

// leaseExpired makes another read loop take over from one whose handler takes too long. The
// watchdog calls it.
func (sc *serverConn) leaseExpired() {
	sc.lentFor.inline.failed() // before the next call of the method is read
	sc.startReadLoop()
}

// startReadLoop starts another read loop in place of one that cannot go on.
func (sc *serverConn) startReadLoop() { go sc.readLoop() }

// errReadLent ends a read loop after another one has taken over the right to read.
var errReadLent = errors.New("another goroutine reads")

// errHandedOver ends a read loop that is to run sc.handedOver.
var errHandedOver = errors.New("the goroutine that has read a call runs it")

// watchdog checks the leases in use on a server's connections. Its goroutine exists while
// there are any, and for a tick or two afterwards.
type watchdog struct {
	mu    sync.Mutex
	conns []*serverConn // the connections with leases in use
	runs  bool
	quit  chan struct{} // closed by end; nil before the first add
	ended bool
}

// add adds a connection to the list, and starts the goroutine if none runs. look drops the
// connection once its lease is out of use.
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

// end ends the goroutine for good: the server has no connection left and accepts none.
func (wd *watchdog) end() {
	wd.mu.Lock()
	defer wd.mu.Unlock()
	if wd.quit != nil && !wd.ended {
		close(wd.quit)
	}
	wd.ended = true
}

// run is the watchdog's goroutine. It ends when no lease is in use, or by end. On systems
// with coarse timers the ticks are a millisecond apart.
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

// look checks every lease, starts read loops in place of those whose lease has expired, and
// reports whether any lease is left.
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
