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
func (cn *conn) fail(err error) {
	cn.mu.Lock()
	if cn.err != nil {
		cn.mu.Unlock()
		return
	}
	cn.err = err
	streams := cn.streams
	cn.streams = nil
	if cn.endTimer != nil {
		cn.endTimer.Stop()
	}
	cn.stopKeepaliveLocked()
	cn.mu.Unlock()

	cn.ch.w.room.close(ErrClosed)
	ended := closeError(err)
	for _, e := range streams {
		e.end(ended)
	}
	cn.ch.interrupt() // a receiver that leads: the socket may stay open for a while
	cn.closeChannel(err)
	close(cn.done)
	cn.endpoint.ended(err)
}

// closeChannel closes the socket: at once, unless it is we who close and
// something is still being written.
func (cn *conn) closeChannel(err error) {
	cn.ch.w.flush() // what a read loop has gathered, which may be in a handler for long
	if err != ErrClosed && err != ErrServerClosed {
		cn.ch.close()
		return
	}
	flushed := make(chan struct{})
	cn.ch.w.whenFlushed(func() {
		cn.ch.close()
		close(flushed)
	})
	select {
	case <-flushed:
	default:
		go cn.linger(flushed)
	}
}

// linger is the goroutine that closes the socket when what was queued before is
// not written in time.
func (cn *conn) linger(flushed <-chan struct{}) {
	timer := time.NewTimer(lingerLimit) // no ticker: after a late tick comes one too early
	defer timer.Stop()
	progress := cn.ch.w.progress.Load()
	for waited := time.Duration(0); waited < maxLinger; waited += lingerLimit {
		select {
		case <-flushed:
			return
		case <-timer.C:
			timer.Reset(lingerLimit)
		}
		before := progress
		if progress = cn.ch.w.progress.Load(); progress == before {
			break
		}
	}
	cn.ch.close()
}

// writeFailed is called when nothing can be written any more. The peer may have sent
// something before it went away, so reading goes on for a while, until it reports the
// end itself.
func (cn *conn) writeFailed(err error) {
	cn.mu.Lock()
	over := cn.err != nil
	cn.mu.Unlock()
	if !over {
		cn.endpoint.writeFailed(err)
	}
}

// drain ends the connection as soon as it is idle: no streams, and everything
// that was queued is written.
func (cn *conn) drain() {
	cn.mu.Lock()
	cn.draining = true
	idle := len(cn.streams) == 0
	cn.mu.Unlock()
	if idle {
		cn.closeFlushed()
	}
}

// closeFlushed ends the connection when everything that was queued is written, and the
// peer has had farewell to take in the last response: clients that handle each frame on
// a task of its own may see the end first, and then lose it. On TCP there is more: to
// close with something unread, as a request that has come too late, resets the
// connection, and what the peer has not read yet is lost. So we say that we send no
// more, and the peer closes, or has had lingerLimit.
func (cn *conn) closeFlushed() {
	pending := !isClosed(cn.ch.w.written())
	cn.ch.w.whenFlushed(func() {
		if tcp, ok := cn.ch.conn.(*net.TCPConn); ok && tcp.CloseWrite() == nil {
			cn.failAfter(lingerLimit, ErrServerClosed)
			return
		}
		now := clock()
		last := cn.lastReply.Load()
		if pending {
			last = now
		}
		if ago := time.Duration(now - last); last == 0 || ago >= farewell {
			cn.fail(ErrServerClosed)
		} else {
			cn.failAfter(farewell-ago, ErrServerClosed)
			cn.setLeaving()
		}
	})
}

func (cn *conn) setLeaving() {
	cn.mu.Lock()
	defer cn.mu.Unlock()
	cn.leaving = true
}

// isLeaving reports whether the connection has ended or does so within farewell.
func (cn *conn) isLeaving() bool {
	cn.mu.Lock()
	defer cn.mu.Unlock()
	return cn.leaving || cn.err != nil
}

// failAfter ends the connection because of err in a while, unless it has ended by then.
func (cn *conn) failAfter(d time.Duration, err error) {
	cn.mu.Lock()
	defer cn.mu.Unlock()
	end := clock() + int64(d)
	if cn.err != nil || cn.endTimer != nil && cn.endTime <= end {
		return
	}
	if cn.endTimer != nil {
		cn.endTimer.Stop() // it would keep the connection after its end
	}
	cn.endTime = end
	cn.endTimer = time.AfterFunc(d, func() { cn.fail(err) })
}
