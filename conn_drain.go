package ttrpc

import (
	"net"
	"time"
)

// This file is how a connection ends in a while: when it is idle, or by a timer.

// drain ends the connection as soon as it is idle: no streams, and everything
// that was queued is written.
func (c *conn) drain() {
	c.mu.Lock()
	c.draining = true
	idle := len(c.streams) == 0
	c.mu.Unlock()
	if idle {
		c.closeFlushed()
	}
}

// closeFlushed ends the connection when everything that was queued is written, and the
// peer has had farewell to take in the last response: clients that handle each frame on
// a task of its own may see the end first, and then lose it. On TCP there is more: to
// close with something unread, as a request that has come too late, resets the
// connection, and what the peer has not read yet is lost. So we say that we send no
// more, and the peer closes, or has had lingerLimit.
func (c *conn) closeFlushed() {
	pending := !isClosed(c.ch.w.written())
	c.ch.w.whenFlushed(func() {
		if tcp, ok := c.ch.conn.(*net.TCPConn); ok && tcp.CloseWrite() == nil {
			c.failAfter(lingerLimit, ErrServerClosed)
			return
		}
		now := clock()
		last := c.lastReply.Load()
		if pending {
			last = now
		}
		if ago := time.Duration(now - last); last == 0 || ago >= farewell {
			c.fail(ErrServerClosed)
		} else {
			c.failAfter(farewell-ago, ErrServerClosed)
			c.setLeaving()
		}
	})
}

func (c *conn) setLeaving() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.leaving = true
}

// isLeaving reports whether the connection has ended or does so within farewell.
func (c *conn) isLeaving() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.leaving || c.err != nil
}

// failAfter ends the connection because of err in a while, unless it has ended by then.
func (c *conn) failAfter(d time.Duration, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	end := clock() + int64(d)
	if c.err != nil || c.endTimer != nil && c.endTime <= end {
		return
	}
	if c.endTimer != nil {
		c.endTimer.Stop() // it would keep the connection after its end
	}
	c.endTime = end
	c.endTimer = time.AfterFunc(d, func() { c.fail(err) })
}
