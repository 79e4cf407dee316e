package ttrpc

import (
	"errors"
	"net"
	"sync"
	"time"
)

// This file is how Shutdown and Close end connections and listeners, whose Close may
// block: beside each other.

// endAll ends connections, beside each other: each may wait for its Close.
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

// listenerClosing is the closing of listeners, whose Close may block: it belongs to the
// goroutine that closeListeners starts, and the end of that closes done.
type listenerClosing struct {
	err  error // the first other than that of a listener that was closed; valid after done
	done chan struct{}
}

// closeListeners closes all listeners beside each other.
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

// wait waits for a limited time. It returns the error if the listeners are closed then.
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
