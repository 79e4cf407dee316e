package ttrpc

import (
	"context"
	"errors"
	"net"
)

// ServeConn serves one connection of any kind, as Serve serves the connections of a
// listener: with the handshake, and with ctx as the parent of the handlers' contexts. The
// server owns the connection from then on.
//
// ServeConn returns when the connection has ended. It does not wait for handlers that are
// still running; their contexts have ended. It returns nil if the client closed the
// connection, ErrServerClosed, unwrapped, after Close or Shutdown, and otherwise the reason,
// which is also in the log: the reason of a refusal, or an error that matches ErrClosed and
// the cause. ServeConn may be called any number of times concurrently, and beside Serve. It
// panics if nc is nil. (Not in released versions.)
func (s *Server) ServeConn(ctx context.Context, nc net.Conn) error {
	if isNil(nc) {
		panic("ttrpc: nil connection")
	}
	serving := s.newServing(ctx)
	serving.ended = make(chan error, 1)
	s.startConn(serving, nc)
	err := <-serving.ended
	serving.leave()
	select {
	case <-s.stopped:
		return ErrServerClosed
	default:
	}
	if errors.Is(err, ErrClosed) && isPeerGone(err) && !errors.Is(err, ErrProtocol) {
		return nil // by EOF, or ECONNRESET if it had not read everything
	}
	return err
}
