package ttrpc

import (
	"errors"
	"net"
	"sync"
	"time"
)

// This file ends connections and listeners: several of them concurrently, as each Close may
// block.

// writeFailed is part of endpoint. The server cannot answer any more, but still reads the
// requests and messages that the client sent before it went away.
func (sc *serverConn) writeFailed(err error) {
	if sc.conn.ch.sock != nil {
		sc.conn.failUnlessHungUp(lingerLimit, err)
	} else {
		sc.conn.failAfter(lateLimit, err)
	}
}

// endAll calls end for all connections, each on its own goroutine, and waits for all of
// them. Each may wait for the Close of its connection, which closeConn limits.
func endAll(conns []*serverConn, end func(*serverConn)) {
	var wg sync.WaitGroup
	for _, sc := range conns {
		sc := sc
		wg.Add(1)
		go func() {
			defer wg.Done()
			end(sc)
		}()
	}
	wg.Wait()
}

// listenerClosing is the result of closing listeners. The goroutine that gathers their
// errors owns it until it closes done.
type listenerClosing struct {
	err  error         // the first error that is not net.ErrClosed; valid after done
	done chan struct{} // closed when every Close has returned
}

// closeListeners closes listeners, each on its own goroutine, without waiting. Another
// goroutine gathers their errors and ends when every Close has returned.
func closeListeners(listeners []net.Listener) *listenerClosing {
	closing := &listenerClosing{done: make(chan struct{})}
	errs := make(chan error, len(listeners))
	for _, l := range listeners {
		l := l
		go func() { errs <- l.Close() }()
	}
	go func() {
		defer close(closing.done)
		for range listeners {
			if err := <-errs; err != nil && closing.err == nil && !errors.Is(err, net.ErrClosed) {
				closing.err = err
			}
		}
	}()
	return closing
}

// wait waits until the listeners are closed, for lingerLimit at most. It returns their
// error, or nil at the limit.
func (lc *listenerClosing) wait() error {
	timer := time.NewTimer(lingerLimit)
	defer timer.Stop()
	select {
	case <-lc.done:
		return lc.err
	case <-timer.C:
		return nil
	}
}
