package ttrpc

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime/debug"
)

// establish does the handshake and makes the conn. If either fails, even by a handshaker
// that ends the goroutine, establish closes and forgets the connection.
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
	if err = sc.start(nc, peer); err != nil {
		closeConn(nc, false)
		return false
	}
	return true
}

// handshake runs the handshaker, if there is one, and returns its connection and peer. At
// the time limit a timer refuses the connection, even if the handshaker is still running;
// handshake then closes the connection that the handshaker returns late.
func (sc *serverConn) handshake() (nc net.Conn, peer any, err error) {
	if sc.server.cfg.handshaker == nil {
		return sc.nc, nil, nil
	}
	limit := sc.server.cfg.handshakeTimeout
	// The end of Serve's context ends handlers, not connections.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(sc.serving.ctx), limit)
	defer cancel()
	sc.setAbort(cancel)
	givenUp := func() error { return fmt.Errorf("handshake given up (%w), its limit is %v", ctx.Err(), limit) }
	inTime := context.AfterFunc(ctx, func() { sc.refuse(givenUp()) })
	defer inTime() // before cancel, also when the handshaker ends the goroutine
	nc, peer, err = sc.runHandshaker(ctx)
	if (!inTime() || ctx.Err() != nil) && err == nil {
		err = givenUp()
	}
	if err != nil && !isNil(nc) {
		closeConn(nc, false)
	}
	return nc, peer, err
}

// runHandshaker runs the handshaker and turns its panic into an error.
func (sc *serverConn) runHandshaker(ctx context.Context) (nc net.Conn, peer any, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = &handshakePanic{value: r, stack: debug.Stack()}
		}
	}()
	nc, peer, err = sc.server.cfg.handshaker.Handshake(ctx, sc.nc)
	if err == nil && isNil(nc) {
		err = errors.New("the handshaker returned no connection")
	}
	return nc, peer, err
}

// refuse ends a connection that has no conn, once. The handshaker's return, its time limit
// and the end of the server race: the first one decides the fate of the connection, here
// or in start. A handshaker that goes on after that keeps its goroutine and nothing else.
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

	closeConn(sc.nc, false)
	if open {
		sc.logRefusal(err)
	}
	s.removeConn(sc)
	sc.serving.tell(err)
}

func (sc *serverConn) logRefusal(err error) {
	const format = "connection %s refused: %v"
	var p *handshakePanic
	if errors.As(err, &p) {
		sc.server.log.panicked(p.stack, format, sc.describe(), err)
		return
	}
	sc.server.log.event(logRefused, format, sc.describe(), err)
}

// handshakePanic is the error of a handshaker that panicked.
type handshakePanic struct {
	value any
	stack []byte
}

func (hp *handshakePanic) Error() string {
	return fmt.Sprintf("panic in handshake: %v", limitedValue{hp.value})
}

// setAbort makes the end of the server call cancel, which ends the handshake.
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

// abandonHandshake refuses the connection because the server ends, and ends the handshake
// if one is in progress.
func (sc *serverConn) abandonHandshake() {
	sc.server.mu.Lock()
	abort := sc.abort
	sc.server.mu.Unlock()
	sc.refuse(ErrServerClosed)
	if abort != nil {
		abort()
	}
}

// start makes the conn. It fails if the connection was refused or the server closed in the
// meantime, or if the peer's user has too many connections.
func (sc *serverConn) start(nc net.Conn, peer any) error {
	s := sc.server
	cn := newConn(nc, sc, s.cfg.conn) // calls methods of nc, and so without the lock
	cn.setWriteTimeout(s.cfg.writeTimeout)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state != serverOpen || sc.refused {
		return ErrServerClosed
	}
	if uid := uidOfPeer(peer); uid.known {
		if err := s.countConnLocked(sc, uid); err != nil {
			return err
		}
	}
	sc.peer = peer
	cn.codec = s.cfg.codec
	sc.conn = cn
	return nil
}
