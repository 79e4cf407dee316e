package ttrpc

import (
	"errors"
	"fmt"
	"math"
	"sync/atomic"
	"time"
)

// This file is keepalive on a connection: its options, and the timer that asks. The
// decisions are in keepalive.go.

const (
	defaultKeepaliveTimeout = 20 * time.Second

	// minKeepalive is the least interval and timeout: for a tenth of it nobody may
	// read a client's connection.
	minKeepalive = 100 * time.Millisecond
)

// Keepalive says when a side asks the other for a sign of life, and when the other
// counts as dead. (Not in released versions.)
type Keepalive struct {
	// Interval is how long nothing has come from the peer when this side sends a
	// ping: at least 100 milliseconds. There is no default.
	Interval time.Duration

	// Timeout is how long nothing has come after that when the connection ends: 20
	// seconds by default, at least 100 milliseconds. A peer of this library may pause
	// reading for a second, and for 10 when it waits for this side to read.
	Timeout time.Duration

	// Idle has this side ask also while no calls run. Else a connection without calls
	// costs no traffic, and the next call finds out.
	Idle bool
}

// check returns k with defaults for zero fields, or an error.
func (k Keepalive) check() (*Keepalive, error) {
	if k.Timeout == 0 {
		k.Timeout = defaultKeepaliveTimeout
	}
	if k.Interval < minKeepalive || k.Timeout < minKeepalive {
		return nil, fmt.Errorf("ttrpc: keepalive with an interval of %v and a timeout of %v: the minimum is %v", k.Interval, k.Timeout, minKeepalive)
	}
	return &k, nil
}

// WithClientKeepalive ends the connection when the server's process is stuck or cannot
// be reached, which the connection itself does not say: nothing has come from the server
// for k.Interval, and not for k.Timeout after a ping either. Calls and streams then
// return ErrClosed, Client.Err says why, and OnClose runs. Everything that comes is a
// sign of life, also a part of a long message, and a time in which this side does not
// read does not count. The server's handlers are not asked: one that hangs is a matter
// of the caller's deadline.
//
// It works from the first answer of a server that has the extensions of the protocol: to
// others, such as all releases, no pings are sent, and a call that never gets an answer
// from the beginning is not noticed. By default it is off; it costs a timer for each
// connection. It panics when k is out of range: see Keepalive. (Not in released versions.)
func WithClientKeepalive(k Keepalive) ClientOpts {
	checked, err := k.check()
	if err != nil {
		panic(err)
	}
	return func(c *Client) { c.cfg.keepalive = checked }
}

// WithServerKeepalive ends a connection whose client is stuck or cannot be reached, as
// WithClientKeepalive does for a server: the contexts of its handlers end, and the log
// has a line. It works with clients that have the extensions of the protocol. By default
// it is off. NewServer fails when k is out of range: see Keepalive. (Not in released
// versions.)
func WithServerKeepalive(k Keepalive) ServerOpt {
	return func(c *serverConfig) (err error) {
		c.keepalive, err = k.check()
		return err
	}
}

// errPeerSilent is in the chain of the error that ends the connection.
var errPeerSilent = errors.New("the peer is silent")

// A connKeepalive is the keepalive of a connection, made when the negotiation is over.
// conn.mu guards it, but for heard.
type connKeepalive struct {
	keepalive
	idle    bool
	heard   *readClock
	timer   *time.Timer     // calls conn.lookAtPeer
	written <-chan struct{} // closed when our last ping is written; nil before the first
}

// startKeepaliveLocked starts the timer, if the peer answers pings. k is nil for no
// keepalive. The goroutine that reads calls it.
func (cn *conn) startKeepaliveLocked(k *Keepalive) {
	if k == nil || cn.err != nil || !cn.ext.maySend(featurePing) {
		return
	}
	cn.ch.heard = newReadClock()
	cn.pingsLocked().keep = &connKeepalive{
		keepalive: keepalive{interval: k.Interval, timeout: k.Timeout},
		idle:      k.Idle,
		heard:     cn.ch.heard,
		timer:     time.AfterFunc(k.Interval, cn.lookAtPeer),
	}
}

// stopKeepaliveLocked is called at the end of the connection, which the timer would keep
// in memory.
func (cn *conn) stopKeepaliveLocked() {
	if cn.pings != nil && cn.pings.keep != nil {
		cn.pings.keep.timer.Stop()
	}
}

// lookAtPeer is run by the timer.
func (cn *conn) lookAtPeer() {
	cn.mu.Lock()
	if cn.err != nil {
		cn.mu.Unlock()
		return
	}
	keep := cn.pings.keep
	heard := keep.heard.last.Load() // before the clock is read
	now := keep.heard.now()
	verdict, wait := keep.look(now, min(heard, now), keep.idle || len(cn.streams) > 0)
	if verdict == askPeer {
		cn.askPeerLocked()
	}
	if verdict != peerDead {
		keep.timer.Reset(wait)
	}
	cn.mu.Unlock()
	switch verdict {
	case askPeer:
		cn.ch.w.flush()
	case peerDead:
		cn.fail(fmt.Errorf("ttrpc: %w: it has sent nothing for %v, and no answer to a ping for %v",
			errPeerSilent, time.Duration(now-heard).Round(time.Millisecond), keep.timeout))
	}
}

// askPeerLocked queues a ping, unless the last one still waits to be written: a peer that
// sends now and then and never reads gets no more memory.
func (cn *conn) askPeerLocked() {
	p := cn.pings
	if p.keep.written != nil && !isClosed(p.keep.written) {
		return
	}
	p.last++
	cn.ch.w.enqueueReply(p.last.frame(messageTypePing))
	p.keep.written = cn.ch.w.written()
}

// A readClock knows when something was read last, or when the last pause in reading was
// over. The goroutine that reads writes it. A nil one, of a connection without keepalive,
// takes no notes, and spares reading the clock.
type readClock struct {
	start int64 // when the clock was made; its times count from then
	last  atomic.Int64
}

func newReadClock() *readClock {
	rc := &readClock{start: clock()}
	rc.note()
	return rc
}

// now is a time in nanoseconds, above 0.
func (rc *readClock) now() int64 { return clock() - rc.start + 1 }

// readPaused is the time in a readClock while reading pauses.
const readPaused = math.MaxInt64

// note says that something was read, or that a pause is over.
func (rc *readClock) note() {
	if rc != nil {
		rc.last.Store(rc.now())
	}
}

// pause says that nothing is read until note.
func (rc *readClock) pause() {
	if rc != nil {
		rc.last.Store(readPaused)
	}
}
