package ttrpc

import "context"

// This file has the methods for the end of a client's connection.

// Done returns a channel that is closed when the connection has ended: by Close or
// Shutdown, by the peer or by an error. Err then returns the reason. All calls and streams
// have ended by then; the OnClose callback may still be running: see UserOnCloseWait. (Not
// in released versions.)
func (c *Client) Done() <-chan struct{} {
	if c.conn == nil {
		return closedChan
	}
	return c.conn.done
}

// Err returns nil while the connection is up, and afterwards the reason for its end. After
// Close or Shutdown that is ErrClosed itself, otherwise an error that matches ErrClosed and
// the cause: io.EOF or syscall.ECONNRESET, for example, if the server went away, and
// ErrProtocol if it broke the protocol or speaks another one. The text says so if the
// server closed the connection before it sent anything, perhaps to refuse it. The error
// never changes. Calls mostly return ErrClosed unwrapped, because programs compare with it.
// (Not in released versions.)
func (c *Client) Err() error {
	if c.conn == nil {
		return ErrClosed
	}
	return c.conn.endReason()
}

// Shutdown closes the connection once the running calls and streams have ended. New ones
// return ErrClosed from the start; running streams may still send. Shutdown returns nil
// when the connection has ended, by either side, after waiting for queued messages
// as Close does. If ctx ends first, Shutdown returns the error of ctx, the shutdown goes
// on, and Close can end it. The server is not notified, and a stream that nobody ends holds
// Shutdown up until ctx ends. Shutdown may be called repeatedly and concurrently with
// Close. (Not in released versions.)
func (c *Client) Shutdown(ctx context.Context) error {
	conn := c.conn
	if conn == nil {
		return nil
	}
	conn.mu.Lock()
	if conn.unsent == nil {
		conn.unsent = ErrClosed // the last call to leave the table ends the connection
	}
	idle := len(conn.streams) == 0
	conn.mu.Unlock()
	if idle {
		conn.fail(ErrClosed)
	}
	select {
	case <-conn.done: // even if ctx has ended
	default:
		select {
		case <-conn.done:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	conn.ch.w.awaitWritten()
	return nil
}
