package ttrpc

import (
	"net"
)

// scriptedListener follows the script of a test.
type scriptedListener struct {
	accepts chan any // net.Conn or error
	closed  chan struct{}
}

func newScriptedListener() *scriptedListener {
	return &scriptedListener{accepts: make(chan any, 100), closed: make(chan struct{})}
}

func (l *scriptedListener) Accept() (net.Conn, error) {
	select {
	case a := <-l.accepts:
		if nc, ok := a.(net.Conn); ok {
			return nc, nil
		}
		return nil, a.(error)
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *scriptedListener) Close() error {
	select {
	case <-l.closed:
	default:
		close(l.closed)
	}
	return nil
}

func (l *scriptedListener) Addr() net.Addr { return &net.UnixAddr{Name: "scripted", Net: "unix"} }

// temporaryError is an error of a listener that says that it passes.
type temporaryError struct{ error }

func (temporaryError) Temporary() bool { return true }
