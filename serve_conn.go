package ttrpc

import (
	"context"
	"errors"
	"io"
	"net"
)

// ServeConn serves one connection, of any kind, as Serve does those of a listener: with
// the handshake, and with ctx as the parent of the handlers' contexts. The connection is
// the server's from then on. ServeConn returns when it has ended, and does not wait for
// handlers that still run, whose contexts have ended: nil when the client closed it;
// ErrServerClosed, bare, after Close or Shutdown; otherwise the
// reason, which the log has as well: a handshake that refused it, or an error that Is
// ErrClosed and its cause. It may be called any number of times at once, beside Serve.
// (Not in released versions.)
func (s *Server) ServeConn(ctx context.Context, nc net.Conn) error {
	if nc == nil {
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
	if errors.Is(err, ErrClosed) && errors.Is(err, io.EOF) && !errors.Is(err, ErrProtocol) {
		return nil
	}
	return err
}
