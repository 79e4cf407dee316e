package ttrpc

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
)

// This file is why a connection has ended, for those who ask: Client.Err, ServeConn and
// the causes of handlers' contexts. Calls get closeError, which is ErrClosed bare.

// endReason returns why the connection has ended, nil while it has not.
func (cn *conn) endReason() error {
	cn.mu.Lock()
	defer cn.mu.Unlock()
	return endReason(cn.err)
}

// endReason returns err, which ended a connection, as an error that Is ErrClosed, unless
// this side closed it: ErrClosed and ErrServerClosed stay bare.
func endReason(err error) error {
	if err == nil || err == ErrClosed || err == ErrServerClosed {
		return err
	}
	return &connError{cause: err}
}

// causeOf returns the cause of the end of a handler's context, whose stream ends because
// of err: ErrClosed hides why the connection ended.
func (cn *conn) causeOf(err error) error {
	if err == ErrClosed {
		return cn.endReason()
	}
	return err
}

// withoutReset returns io.EOF for the reset of an idle connection with extensions. A unix
// socket reports one whose peer has closed it with bytes unread: on an idle connection
// these are frames of extensions, such as an acknowledgement, and no reason for another
// end than that of a connection without them.
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

// explain says in words that the peer is gone. A peer that goes before it has sent
// anything has likely refused the connection, which the protocol has no message for.
func (r *connReader) explain(err error) error {
	if !isPeerGone(err) {
		return err
	}
	if !r.heard {
		return fmt.Errorf("the peer closed the connection before it sent anything, as one does that refuses it: %w", err)
	}
	return fmt.Errorf("the peer closed the connection: %w", err)
}

// isPeerGone reports whether err, of reading, says that the peer ended the connection,
// rather than this side or a party that had the net.Conn before.
func isPeerGone(err error) bool {
	for _, ours := range []error{net.ErrClosed, os.ErrClosed, io.ErrClosedPipe} {
		if errors.Is(err, ours) {
			return false
		}
	}
	return isClosedError(err)
}
