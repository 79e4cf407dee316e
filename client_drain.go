package ttrpc

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// This file handles a server's announcement that it takes no new calls: PROTOCOL.md,
// section "Goaway".

// ErrDraining is the error of calls and streams that the server has not begun because it is
// shutting down. They may be made elsewhere. ErrDraining matches ErrClosed, and its gRPC
// code is Unavailable.
//
// A call gets ErrDraining, unwrapped, if the client has the server's notice
// (Client.Draining) and the server still runs calls of this connection. If the server runs
// none, it ends the connection, and the call gets ErrClosed, unwrapped, as from releases.
// After such an end errors.Is(client.Err(), ErrDraining) reports that no call was cut off:
// a call that got ErrClosed has not begun either. (Not in released versions.)
var ErrDraining error = drainingError{}

type drainingError struct{}

func (drainingError) Error() string {
	return "ttrpc: the server is shutting down, and has not begun the call"
}

func (drainingError) Unwrap() error { return ErrClosed }

// GRPCStatus is called by package google.golang.org/grpc/status.
func (e drainingError) GRPCStatus() *status.Status { return status.New(codes.Unavailable, e.Error()) }

// A drainNotice records that the server has announced its shutdown. conn.mu guards it.
type drainNotice struct {
	come   bool
	lastID streamID // the server begins no call beyond it

	// told is closed when the notice arrives or the connection ends. It is nil until
	// Draining makes it, and after it was closed.
	told chan struct{}
}

// Draining returns a channel that is closed when the server has announced that it takes no
// new calls, or when the connection has ended. Running calls may finish; new calls are
// refused: see ErrDraining. A server with extensions announces Shutdown. (Not in released
// versions.)
func (c *Client) Draining() <-chan struct{} {
	if c.conn == nil {
		return closedChan
	}
	c.conn.mu.Lock()
	defer c.conn.mu.Unlock()
	notice := &c.conn.notice
	if notice.come || c.conn.err != nil {
		return closedChan
	}
	if notice.told == nil {
		notice.told = make(chan struct{})
	}
	return notice.told
}

// tellLocked closes the channel of Draining.
func (dn *drainNotice) tellLocked() {
	if dn.told != nil {
		close(dn.told)
		dn.told = nil
	}
}

// takeGoaway records that the server takes no new calls. The server answers calls that are
// in transit, or they end with the connection: see beyondLocked.
func (c *Client) takeGoaway(g goaway) {
	c.conn.mu.Lock()
	defer c.conn.mu.Unlock()
	if notice := &c.conn.notice; !notice.come {
		notice.come, notice.lastID = true, g.lastID
		notice.tellLocked()
	}
}

// beyondLocked reports whether the notice says that the server does not begin the call with
// that id.
func (dn *drainNotice) beyondLocked(id streamID) bool { return dn.come && id > dn.lastID }

// begunLocked reports whether the table has a call that the server may have begun.
func (cn *conn) begunLocked() bool {
	for id := range cn.streams {
		if !cn.notice.beyondLocked(id) {
			return true
		}
	}
	return false
}

// refuseDraining returns the error of a call that was not sent because of the notice. While
// the server runs calls, it would answer the call with Unavailable. Otherwise it ends the
// connection, and the call would get ErrClosed. If the server still runs a call on which
// this client has given up, it does neither within lingerLimit.
func (c *Client) refuseDraining(ctx context.Context) error {
	c.conn.mu.Lock()
	running := c.conn.begunLocked()
	c.conn.mu.Unlock()
	if running {
		return ErrDraining
	}
	timer := time.NewTimer(lingerLimit)
	defer timer.Stop()
	select {
	case <-c.conn.done:
		return ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return ErrDraining
	}
}

// drainedLocked adds ErrDraining to the error that is about to end the connection, if the
// server has ended the connection as announced and cut off no call.
func (cn *conn) drainedLocked(err error) error {
	if !cn.notice.come || !isClosedError(err) || cn.begunLocked() {
		return err
	}
	return fmt.Errorf("%w: %w", drainedError{}, err)
}

// drainedError is ErrDraining as the reason for the end of a connection.
type drainedError struct{}

func (drainedError) Error() string { return "the server has shut down, and cut off no call" }
func (drainedError) Unwrap() error { return ErrDraining }

// awaitsNoticeLocked reports whether nothing can be written any more (conn.unsent), but the
// server's notice may be waiting to be read. In that case reading, or the timer of
// writeFailed, ends the connection.
func (cn *conn) awaitsNoticeLocked() bool {
	return isClosedError(cn.unsent) && cn.ext.uses(featureGoaway) && !cn.notice.come
}
