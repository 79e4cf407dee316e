package ttrpc

import (
	"errors"
	"fmt"
	"math"
	"sync/atomic"
	"time"
)

// This file has the options of keepalive and its timer on a connection. keepalive.go makes
// the decisions.

const (
	defaultKeepaliveTimeout = 20 * time.Second

	// minKeepalive is the least interval and the least timeout. A client's connection
	// may go unread for a tenth of it.
	minKeepalive = 100 * time.Millisecond
)

// Keepalive sets when a side pings a silent peer, and when it gives the peer up. (Not in
// released versions.)
type Keepalive struct {
	// Interval is the time without bytes from the peer after which this side sends a
	// ping: at least 100 milliseconds. There is no default.
	Interval time.Duration

	// Timeout is the time without bytes after the ping that ends the connection: 20
	// seconds by default, at least 100 milliseconds. A peer with this library may pause
	// reading for a second, and for 10 seconds while it waits for this side to read.
	Timeout time.Duration

	// Idle makes this side send pings also while no calls run. Without Idle, a connection
	// without calls has no traffic, and only the next call can notice a dead peer.
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

// WithClientKeepalive ends the connection if the server's process is stuck or unreachable,
// which the connection itself does not show: if no bytes have arrived for k.Interval, the
// client sends a ping, and if none arrive for k.Timeout after that, the connection ends.
// Calls and streams then return ErrClosed, Client.Err returns the reason, and OnClose runs.
// Any bytes count, also part of a long message. Time in which this side does not read does
// not count. Keepalive does not notice a handler that hangs; callers need deadlines for
// that.
//
// Keepalive begins with the first answer of a server with extensions. The client sends no
// pings to other servers, such as all releases, nor before the first answer. By default
// keepalive is off; it costs a timer for each connection. WithClientKeepalive panics if k is
// out of range: see Keepalive. (Not in released versions.)
func WithClientKeepalive(k Keepalive) ClientOpts {
	checked, err := k.check()
	if err != nil {
		panic(err)
	}
	return func(c *Client) { c.cfg.keepalive = checked }
}

// WithServerKeepalive ends a connection whose client is stuck or unreachable, as
// WithClientKeepalive does for a server: the contexts of the handlers end, and the log gets
// a line. It works only for clients with extensions. By default keepalive is off. NewServer
// fails if k is out of range: see Keepalive. (Not in released versions.)
func WithServerKeepalive(k Keepalive) ServerOpt {
	return func(c *serverConfig) (err error) {
		c.keepalive, err = k.check()
		return err
	}
}

// errPeerSilent is in the chain of the error that keepalive ends a connection with.
var errPeerSilent = errors.New("the peer is silent")

// A connKeepalive is the keepalive of a connection, made at the end of the negotiation.
// conn.mu guards it, except for heard.
type connKeepalive struct {
	keepalive
	idle    bool
	heard   *readClock
	timer   *time.Timer     // calls conn.lookAtPeer
	written <-chan struct{} // closed when the last ping of this side is written; nil before the first
}

// startKeepaliveLocked starts the timer if the peer answers pings. A nil k means no
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

// stopKeepaliveLocked stops the timer at the end of the connection, which the timer would
// keep in memory.
func (cn *conn) stopKeepaliveLocked() {
	if cn.pings != nil && cn.pings.keep != nil {
		cn.pings.keep.timer.Stop()
	}
}

// lookAtPeer is run by the timer. It sends a ping, ends the connection, or only restarts
// the timer.
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

// askPeerLocked queues a ping, unless the last ping still waits to be written: a peer that
// sends now and then and never reads costs no memory.
func (cn *conn) askPeerLocked() {
	p := cn.pings
	if p.keep.written != nil && !isClosed(p.keep.written) {
		return
	}
	p.last++
	cn.ch.w.enqueueReply(p.last.frame(messageTypePing))
	p.keep.written = cn.ch.w.written()
}

// A readClock has the time of the last read, or of the end of the last pause in reading.
// The goroutine that reads writes it. A connection without keepalive has a nil readClock,
// which records nothing and saves reading the clock.
type readClock struct {
	start int64 // when the clock was made; its times count from then
	last  atomic.Int64
}

func newReadClock() *readClock {
	rc := &readClock{start: clock()}
	rc.note()
	return rc
}

// now returns a time in nanoseconds, above 0.
func (rc *readClock) now() int64 { return clock() - rc.start + 1 }

// readPaused is the time of a readClock while reading pauses.
const readPaused = math.MaxInt64

// note records a read, or the end of a pause.
func (rc *readClock) note() {
	if rc != nil {
		rc.last.Store(rc.now())
	}
}

// pause records the beginning of a pause, which ends with note.
func (rc *readClock) pause() {
	if rc != nil {
		rc.last.Store(readPaused)
	}
}
