package ttrpc

import "context"

// This file is the end of a client's connection, seen from outside, and the way there
// that leaves its calls time.

// Done returns a channel that is closed when the connection has ended: by Close or
// Shutdown, by the peer or by an error. Err then tells why. Calls and streams have ended
// by that time; the OnClose callback may still run: see UserOnCloseWait. (Not in
// released versions.)
func (c *Client) Done() <-chan struct{} {
	if c.conn == nil {
		return closedChan
	}
	return c.conn.done
}

// Err returns nil while the connection goes on, and then why it has ended: an error that
// Is ErrClosed. After Close or Shutdown it is ErrClosed itself, else the cause is in its
// chain for errors.Is and errors.As, such as io.EOF or syscall.ECONNRESET for a peer that
// went away (its text says if nothing had come before: the peer may have refused the
// connection) and ErrProtocol for one that broke the protocol or speaks another. Once
// there is an error it stays the same. Calls return ErrClosed bare in most cases,
// because programs compare with it. (Not in released versions.)
func (c *Client) Err() error {
	if c.conn == nil {
		return ErrClosed
	}
	return c.conn.endReason()
}

// Shutdown closes the connection when the calls and streams that run have ended, and
// refuses new ones: they return ErrClosed from then on. Streams that run may still send.
// It returns nil when the connection has ended, by whichever side; or the error of ctx
// when that ends before: then the rest goes on, and Close can end it. It waits for what
// was sent before as Close does. The server is not told, and a stream that nobody ends
// holds it up until ctx ends. Shutdown may be called several times, and beside Close.
// (Not in released versions.)
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
	case <-conn.done: // whatever ctx says
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
