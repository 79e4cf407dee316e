package ttrpc

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
)

// This file gives the reason for the end of a connection to Client.Err, ServeConn and the
// causes of handlers' contexts. Calls get the error of closeError, mostly bare ErrClosed.

// endReason returns the reason for the end of the connection, nil before the end.
func (cn *conn) endReason() error {
	cn.mu.Lock()
	defer cn.mu.Unlock()
	return endReason(cn.err)
}

// endReason returns the error that ended a connection, wrapped so that it matches
// ErrClosed. If this side closed the connection, ErrClosed and ErrServerClosed stay bare.
func endReason(err error) error {
	if err == nil || err == ErrClosed || err == ErrServerClosed {
		return err
	}
	return &connError{cause: err}
}

// causeOf returns the cause for the end of a handler's context whose stream ends because of
// err. It replaces ErrClosed, which hides the reason for the end of the connection.
func (cn *conn) causeOf(err error) error {
	if err == ErrClosed {
		return cn.endReason()
	}
	return err
}

// withoutReset returns io.EOF for the reset of an idle connection with extensions. A Unix
// socket reports a reset if the peer closes the connection with bytes unread. On an idle
// connection these bytes are frames of extensions, such as an acknowledgement: without
// extensions the connection would have ended with io.EOF.
func (cn *conn) withoutReset(err error) error {
	if !errors.Is(err, closedErrnos[0]) || !cn.ext.is(extended) {
		return err
	}
	cn.mu.Lock()
	defer cn.mu.Unlock()
	if len(cn.streams) > 0 {
		return err
	}
	return io.EOF
}

// explain adds words to the error of a peer that is gone. A peer that leaves before it has
// sent anything has likely refused the connection: the protocol has no message for that.
//
//go:noinline
func (cn *conn) explain(err error) error {
	err = cn.withoutReset(err)
	if !isPeerGone(err) {
		return err
	}
	if !cn.ch.begun {
		return fmt.Errorf("the peer closed the connection before it sent anything, as one does that refuses it: %w", err)
	}
	return fmt.Errorf("the peer closed the connection: %w", err)
}

// isPeerGone reports whether err, from a read, means that the peer ended the connection,
// and not this side or other code with access to the net.Conn.
func isPeerGone(err error) bool {
	for _, ours := range []error{net.ErrClosed, os.ErrClosed, io.ErrClosedPipe} {
		if errors.Is(err, ours) {
			return false
		}
	}
	return isClosedError(err)
}
