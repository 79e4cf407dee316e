package ttrpc

import (
	"net"
	"time"
)

// This file is the end of a connection: at once (fail), when it is idle (drain), or by a
// timer (failAfter).

const (
	// lateLimit is how long a client that cannot write any more still
	// reads, for calls that it has sent: responses from before the server
	// closed may be waiting there.
	lateLimit = time.Second

	// socketLateLimit is the same on a kernel socket, where the peer's end
	// can be read after them and ends it: the limit is for a peer that
	// closed its reading side alone.
	socketLateLimit = 5 * time.Second

	// lingerLimit is how long a connection that we close stays open for
	// what was queued before, while the peer takes nothing of it.
	lingerLimit = 100 * time.Millisecond

	// maxLinger is how long it stays open in all.
	maxLinger = time.Second

	// farewell is the time between the last response and the close of a
	// connection that drains.
	farewell = 5 * time.Millisecond
)

// fail ends the connection: it ends every stream, closes the socket or leaves that
// to linger, and closes done. Every terminal error comes here, from reading, from
// writing and from Close; the first one counts.
func (c *conn) fail(err error) {
	c.mu.Lock()
	if c.err != nil {
		c.mu.Unlock()
		return
	}
	c.err = closeError(err)
	streams := c.streams
	c.streams = nil
	if c.endTimer != nil {
		c.endTimer.Stop()
	}
	c.mu.Unlock()

	c.ch.w.room.close(ErrClosed)
	for _, e := range streams {
		e.end(c.err)
	}
	c.ch.interrupt() // a receiver that leads: the socket may stay open for a while
	c.closeChannel(err)
	close(c.done)
	c.endpoint.ended(err)
}

// closeChannel closes the socket: at once, unless it is we who close and
// something is still being written.
func (c *conn) closeChannel(err error) {
	c.ch.w.flush() // what a read loop has gathered, which may be in a handler for long
	if err != ErrClosed && err != ErrServerClosed {
		c.ch.close()
		return
	}
	flushed := make(chan struct{})
	c.ch.w.whenFlushed(func() {
		c.ch.close()
		close(flushed)
	})
	select {
	case <-flushed:
	default:
		go c.linger(flushed)
	}
}

// linger is the goroutine that closes the socket when what was queued before is
// not written in time.
func (c *conn) linger(flushed <-chan struct{}) {
	timer := time.NewTimer(lingerLimit) // no ticker: after a late tick comes one too early
	defer timer.Stop()
	progress := c.ch.w.progress.Load()
	for waited := time.Duration(0); waited < maxLinger; waited += lingerLimit {
		select {
		case <-flushed:
			return
		case <-timer.C:
			timer.Reset(lingerLimit)
		}
		before := progress
		if progress = c.ch.w.progress.Load(); progress == before {
			break
		}
	}
	c.ch.close()
}

// writeFailed is called when nothing can be written any more. The peer may have sent
// something before it went away, so reading goes on for a while, until it reports the
// end itself.
func (c *conn) writeFailed(err error) {
	c.mu.Lock()
	over := c.err != nil
	c.mu.Unlock()
	if !over {
		c.endpoint.writeFailed(err)
	}
}

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
