package ttrpc

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime/debug"
)

// establish does the handshake and makes the conn. If that fails, if only by a
// handshaker that ends the goroutine, nothing is left of the connection.
func (sc *serverConn) establish() (ok bool) {
	err := errors.New("the handshaker ended its goroutine")
	defer func() {
		if !ok {
			sc.refuse(err)
		}
	}()
	nc, peer, err := sc.handshake()
	if err != nil {
		return false
	}
	if !sc.start(nc, peer) {
		closeConn(nc)
		return false
	}
	return true
}

// handshake returns the connection to use, and its peer. At the limit the
// connection is refused, whether the handshaker returns or not: what it returns
// after that is closed.
func (sc *serverConn) handshake() (nc net.Conn, peer any, err error) {
	h := sc.server.cfg.handshaker
	if h == nil {
		return sc.nc, nil, nil
	}
	limit := sc.server.cfg.handshakeTimeout
	// The end of Serve's context ends handlers, not connections.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(sc.serving.ctx), limit)
	defer cancel()
	sc.setAbort(cancel)
	givenUp := func() error { return fmt.Errorf("handshake given up (%w), its limit is %v", ctx.Err(), limit) }
	stop := context.AfterFunc(ctx, func() { sc.refuse(givenUp()) })
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic in handshake: %v\n%s", r, debug.Stack())
		}
		if (!stop() || ctx.Err() != nil) && err == nil {
			err = givenUp()
		}
		if err != nil && !isNil(nc) {
			closeConn(nc)
		}
	}()
	nc, peer, err = h.Handshake(ctx, sc.nc)
	if err == nil && isNil(nc) {
		err = errors.New("the handshaker returned no connection")
	}
	return nc, peer, err
}

// refuse ends a connection that has no conn, once: whoever comes first of the
// handshaker's return, its limit and the end of the server decides what becomes of
// the connection, here or in start. A handshaker that goes on after that has
// nothing but its goroutine.
func (sc *serverConn) refuse(err error) {
	s := sc.server
	s.mu.Lock()
	if sc.conn != nil || sc.refused {
		s.mu.Unlock()
		return
	}
	sc.refused = true
	open := s.state == serverOpen
	s.mu.Unlock()

	closeConn(sc.nc)
	if open {
		s.log.Printf("connection %s refused: %v", sc.describe(), err)
	}
	s.removeConn(sc)
}

// setAbort makes cancel what ends the handshake when the server is closed.
func (sc *serverConn) setAbort(cancel func()) {
	s := sc.server
	s.mu.Lock()
	sc.abort = cancel
	open := s.state == serverOpen
	s.mu.Unlock()
	if !open {
		cancel()
	}
}

// abandonHandshake refuses the connection because the server ends, and ends its
// handshake if that is under way.
func (sc *serverConn) abandonHandshake() {
	sc.server.mu.Lock()
	abort := sc.abort
	sc.server.mu.Unlock()
	sc.refuse(ErrServerClosed)
	if abort != nil {
		abort()
	}
}

// start makes the conn, unless the connection was refused or the server closed in
// the meantime.
func (sc *serverConn) start(nc net.Conn, peer any) bool {
	s := sc.server
	c := newConn(nc, sc, s.cfg.conn) // calls methods of nc, and so without the lock
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state != serverOpen || sc.refused {
		return false
	}
	sc.peer = peer
	c.codec = s.cfg.codec
	sc.conn = c
	sc.lease.watchdog, sc.lease.taken = &s.watchdog, sc.readOn
	return true
}
