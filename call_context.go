package ttrpc

import (
	"context"
	"sync"
	"time"
)

// callContext is the context of a handler. It ends when the handler returns,
// when the connection ends, at the call's deadline, and with the context given
// to Serve. It is part of the call's one allocation: what the standard
// library would chain together (cancel, deadline, values) costs ten, and it
// makes its channel and its timer only when somebody looks at them.
//
// It outlives the call for as long as the handler's goroutines keep it.
type callContext struct {
	parent   context.Context // Serve's
	md       MD              // the call's metadata, nil for none
	peer     any             // what the handshaker returned for the connection
	deadline time.Time       // zero for none

	mu    sync.Mutex
	err   error
	done  chan struct{} // made by Done; closed when err is set
	timer *time.Timer   // runs while someone waits for the deadline
	after map[*func()]struct{}
}

// Deadline is the call's own, or that of Serve's context when it is earlier.
func (c *callContext) Deadline() (time.Time, bool) {
	parent, ok := c.parent.Deadline()
	if c.deadline.IsZero() || ok && parent.Before(c.deadline) {
		return parent, ok
	}
	return c.deadline, true
}

func (c *callContext) Done() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.done == nil {
		if c.err != nil {
			return closedChan
		}
		c.done = make(chan struct{})
		c.watchDeadlineLocked()
	}
	return c.done
}

func (c *callContext) Err() error {
	c.mu.Lock()
	if c.err == nil && !c.deadline.IsZero() && !time.Now().Before(c.deadline) {
		c.mu.Unlock()
		c.cancel(context.DeadlineExceeded)
		c.mu.Lock()
	}
	defer c.mu.Unlock()
	return c.err
}

func (c *callContext) Value(key any) any {
	switch key.(type) {
	case metadataKey:
		if c.md != nil {
			return c.md
		}
		return nil // not that of Serve's context
	case peerKey:
		return c.peer
	}
	return c.parent.Value(key)
}

// AfterFunc arranges for f to run in its own goroutine when the context ends.
// Package context looks for this method, and spares a goroutine for each
// context derived from this one.
func (c *callContext) AfterFunc(f func()) (stop func() bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		go f()
		return func() bool { return false }
	}
	if c.after == nil {
		c.after = make(map[*func()]struct{})
	}
	c.after[&f] = struct{}{}
	c.watchDeadlineLocked()
	return func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		_, pending := c.after[&f]
		delete(c.after, &f)
		return pending
	}
}

// watchDeadlineLocked starts the timer for the first who waits.
func (c *callContext) watchDeadlineLocked() {
	if c.timer == nil && !c.deadline.IsZero() {
		c.timer = time.AfterFunc(time.Until(c.deadline), func() { c.cancel(context.DeadlineExceeded) })
	}
}

// cancel ends the context. The first reason counts.
func (c *callContext) cancel(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return
	}
	c.err = err
	if c.done != nil {
		close(c.done)
	}
	if c.timer != nil {
		c.timer.Stop()
	}
	for f := range c.after {
		go (*f)()
	}
	c.after = nil
}

// String describes the context as those of package context do.
func (c *callContext) String() string { return "ttrpc.callContext" }

type peerKey struct{}

// PeerFromContext returns what the server's Handshaker returned for the
// connection that a handler's call came over: for UnixCredentialsFunc a
// *unix.Ucred with the pid, uid and gid of the peer at the time it connected.
// ok is false outside of a handler, and when there is nothing. (Not in released
// versions.)
func PeerFromContext(ctx context.Context) (peer any, ok bool) {
	peer = ctx.Value(peerKey{})
	return peer, peer != nil
}
