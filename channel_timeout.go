package ttrpc

import (
	"fmt"
	"time"
)

// writeTimeout ends a connection whose peer accepts nothing: see WithServerWriteTimeout. Its
// timer runs while writeAll writes, and for at most limit after that.
type writeTimeout struct {
	limit  time.Duration
	expire func(error) // ends the connection; called by the timer, without locks

	// Guarded by writer.mu.

	timer *time.Timer // runs writer.checkPeer; nil until the first time
	runs  bool

	seen int64 // writer.stuckSince when the timer found the limit exceeded; owned by the timer
}

// writeGrace is the time for which checkPeer waits for the flusher after the limit has
// passed: this process may have been stopped while the peer read.
const writeGrace = 10 * time.Millisecond

// watchPeer starts the timer. writeAll calls it when it begins.
func (w *writer) watchPeer() {
	t := w.timeout
	if t == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case t.runs || w.err != nil:
		return
	case t.timer == nil:
		t.timer = time.AfterFunc(t.limit, w.checkPeer)
	default:
		t.timer.Reset(t.limit)
	}
	t.runs = true
}

// checkPeer is run by the timer. It ends the connection if the flusher has waited for limit
// and, when checkPeer looks again after writeGrace, still waits. Otherwise it restarts the
// timer as long as there is a flusher.
func (w *writer) checkPeer() {
	t := w.timeout
	left, since := t.limit, w.stuckSince.Load()
	if since != 0 {
		left -= time.Duration(clock() - since)
	}
	switch {
	case left > 0:
	case since != t.seen:
		t.seen, left = since, writeGrace
	default:
		t.expire(fmt.Errorf("ttrpc: the peer has taken none of the bytes that wait to be written for %v", t.limit))
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	t.runs = w.flushing && w.err == nil
	if t.runs {
		t.timer.Reset(left)
	}
}

// stopWatchingLocked stops the timer, because writing is over.
func (w *writer) stopWatchingLocked() {
	if w.timeout != nil && w.timeout.timer != nil {
		w.timeout.timer.Stop()
	}
}

// setWriteTimeout limits the time in which the peer accepts nothing; 0 means no limit. It
// must be called before the first write.
func (cn *conn) setWriteTimeout(limit time.Duration) {
	if limit != 0 {
		cn.ch.w.timeout = &writeTimeout{limit: limit, expire: cn.fail}
	}
}
