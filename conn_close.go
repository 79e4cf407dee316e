package ttrpc

import (
	"net"
	"time"
)

// This file ends a connection: at once (fail), when it is idle (drain), or after a while
// (endAfter).

const (
	// lateLimit is the time for which a side that cannot write any more still reads: frames
	// from before the peer went away may be waiting. On a kernel socket whose peer has closed
	// it there is no limit: see failUnlessHungUp.
	lateLimit = time.Second

	// socketLateLimit is the limit of a client on a kernel socket whose peer closed just its
	// reading side; a server has lingerLimit there.
	socketLateLimit = 5 * time.Second

	// lingerLimit is the time for which a connection that this side closes stays open for
	// frames queued earlier while the peer accepts none of their bytes. It also limits
	// the wait for a Close.
	lingerLimit = 100 * time.Millisecond

	// maxLinger limits the total time for which such a connection stays open.
	maxLinger = time.Second

	// farewell is the time between the last response and the close of a draining
	// connection.
	farewell = 5 * time.Millisecond
)

// fail ends the connection because of err: it ends every stream, closes the socket or
// leaves that to linger, and closes done. Every terminal error ends up here, from reading,
// writing and Close; the first one counts. Any goroutine may call fail, without locks.
func (cn *conn) fail(err error) {
	cn.mu.Lock()
	if cn.err != nil {
		cn.mu.Unlock()
		return
	}
	cn.err = cn.drainedLocked(err)
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
	cn.ch.interrupt() // a leader: the socket may stay open for a while
	cn.closeChannel(err)
	close(cn.done)
	cn.endpoint.ended(err)
}

// closeChannel closes the socket. If this side ends the connection and frames are still
// being written, it leaves the close to the flusher and to linger.
func (cn *conn) closeChannel(err error) {
	cn.ch.w.flush() // responses gathered by a read loop that may be in a slow handler
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

// linger is the goroutine that closes the socket if the frames queued earlier are not
// written in time. closeChannel starts it. It ends when they are written, or after
// lingerLimit without progress, or after maxLinger.
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

// writeFailed is called once by the writer when nothing can be written any more. Frames
// that the peer sent before it went away may be waiting, so reading goes on for a while or
// until it reports the end.
func (cn *conn) writeFailed(err error) {
	cn.mu.Lock()
	over := cn.err != nil
	cn.mu.Unlock()
	if !over {
		cn.endpoint.writeFailed(err)
	}
}

// drain gives notice to a client with extensions, and ends the connection as soon as it has
// no streams and all queued frames are written. A client that does not read its notice holds
// up nothing.
func (cn *conn) drain() {
	quiet := isClosed(cn.ch.w.written())
	cn.mu.Lock()
	told := !cn.draining && cn.sayGoawayLocked()
	cn.draining = true
	idle := len(cn.streams) == 0
	cn.mu.Unlock()
	if told {
		cn.ch.w.flush()
	}
	if told && idle && quiet {
		cn.failAfter(lingerLimit, ErrServerClosed)
		cn.setLeaving()
	}
	if idle {
		cn.closeFlushed()
	}
}

// closeFlushed ends the connection when all queued frames are written and the peer has had
// farewell to handle the last response: clients that handle each frame in its own task may
// notice the end first and lose the response. On TCP, closing a connection with unread
// bytes, such as a late request, resets it, and the peer loses its own unread bytes.
// closeFlushed therefore only closes the sending side, and the peer closes the connection
// within lingerLimit, or fail does.
func (cn *conn) closeFlushed() {
	pending := !isClosed(cn.ch.w.written())
	cn.ch.w.whenFlushed(func() {
		if tcp, ok := cn.ch.conn.(*net.TCPConn); ok && tcp.CloseWrite() == nil {
			cn.failAfter(lingerLimit, ErrServerClosed)
			cn.setLeaving()
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

// setLeaving notes that the connection ends within lingerLimit.
func (cn *conn) setLeaving() {
	cn.mu.Lock()
	defer cn.mu.Unlock()
	cn.leaving = true
}

// isLeaving reports whether the connection has ended or will end within lingerLimit.
func (cn *conn) isLeaving() bool {
	cn.mu.Lock()
	defer cn.mu.Unlock()
	return cn.leaving || cn.err != nil
}

// failAfter ends the connection because of err after d, unless it ends earlier.
func (cn *conn) failAfter(d time.Duration, err error) {
	cn.endAfter(d, func() { cn.fail(err) })
}

// failUnlessHungUp is failAfter for a kernel socket that can be read but not written. If the
// peer has closed it by then, reading ends the connection instead, as it does if no write
// has failed: after the frames from before, which wait for their receivers as ever
// (conn.waitDeliver).
func (cn *conn) failUnlessHungUp(d time.Duration, err error) {
	cn.endAfter(d, func() {
		if !cn.ch.sock.hungUp() {
			cn.fail(err)
		}
	})
}

// endAfter calls end after d, unless the connection ends earlier. Of several calls the one
// with the earliest time counts. If that is failUnlessHungUp's, a draining connection ends
// all the same: it has no streams, and nothing holds up its reading to the peer's end.
func (cn *conn) endAfter(d time.Duration, end func()) {
	cn.mu.Lock()
	defer cn.mu.Unlock()
	at := clock() + int64(d)
	if cn.err != nil || cn.endTimer != nil && cn.endTime <= at {
		return
	}
	if cn.endTimer != nil {
		cn.endTimer.Stop() // the old timer would keep the connection in memory after its end
	}
	cn.endTime = at
	cn.endTimer = time.AfterFunc(d, end)
}
