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
	defer func() {
		if !ok {
			sc.nc.Close()
			sc.server.removeConn(sc)
		}
	}()
	nc, err := sc.handshake()
	if err != nil {
		if sc.server.isOpen() {
			sc.server.log.Printf("connection refused: %v", err)
		}
		return false
	}
	if !sc.start(nc) {
		nc.Close()
		return false
	}
	return true
}

func (s *Server) isOpen() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state == serverOpen
}

// handshake returns the connection to use. It may take as long as the limit
// says, and then closes the accepted connection, so that a handshaker which
// waits for the peer ends.
func (sc *serverConn) handshake() (nc net.Conn, err error) {
	h := sc.server.cfg.handshaker
	if h == nil {
		return sc.nc, nil
	}
	limit := sc.server.cfg.handshakeTimeout
	// The end of Serve's context ends handlers, not connections.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(sc.serving.ctx), limit)
	defer cancel()
	sc.setAbort(cancel)
	stop := context.AfterFunc(ctx, func() { sc.nc.Close() })
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic in handshake: %v\n%s", r, debug.Stack())
		}
		if (!stop() || ctx.Err() != nil) && err == nil {
			err = fmt.Errorf("handshake given up (%w), its limit is %v", ctx.Err(), limit)
		}
		if err != nil && nc != nil && nc != sc.nc {
			nc.Close()
		}
	}()
	nc, sc.peer, err = h.Handshake(ctx, sc.nc)
	if err == nil && nc == nil {
		err = errors.New("the handshaker returned no connection")
	}
	return nc, err
}

// setAbort makes cancel what ends the handshake when the server is closed.
func (sc *serverConn) setAbort(cancel func()) {
	s := sc.server
	s.mu.Lock()
	defer s.mu.Unlock()
	sc.abort = cancel
	if s.state != serverOpen {
		cancel()
	}
}

// abandonHandshake ends a handshake that is under way.
func (sc *serverConn) abandonHandshake() {
	sc.server.mu.Lock()
	abort := sc.abort
	sc.server.mu.Unlock()
	if abort != nil {
		abort()
	}
	sc.nc.Close()
}

// start makes the conn, unless the server was closed in the meantime.
func (sc *serverConn) start(nc net.Conn) bool {
	s := sc.server
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state != serverOpen {
		return false
	}
	sc.conn = newConn(nc, sc, s.cfg.conn)
	sc.lease.watchdog, sc.lease.taken = &s.watchdog, sc.readOn
	sc.left.watchdog, sc.left.taken = &s.watchdog, sc.conn.readAgain
	return true
}
