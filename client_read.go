package ttrpc

import (
	"context"
	"time"
)

// This file is the client's part of reading: the read loop and leaders take turns
// (turn.go).

// clientReader is a client's state of reading, in addition to connReader.
type clientReader struct {
	// Guarded by conn.mu.

	turn  turn
	timer *time.Timer // calls expireTurn; nil until the first time

	// Owned by the holder of the turn.

	woke    bool            // the read loop has woken a receiver since it took the turn
	last    <-chan struct{} // Done of the last leader's context
	watched <-chan struct{} // Done of the context whose end interrupts reading
	unwatch func() bool     // ends the watch on that context
}

// idleLimit is the time for which nobody reads after a call; after several calls it may be
// twice as long. Until then the end of the connection may go unnoticed.
const idleLimit = 10 * time.Millisecond

// firstIdleLimit is the time for which nobody reads before the first call. It is short: the
// peer may have closed the connection or speak another protocol, and calls that come after
// the read loop has noticed return that reason.
const firstIdleLimit = time.Millisecond

// startReading has the first caller read, and the read loop if none calls soon. The read
// loop reads from the beginning on connections that are not kernel sockets, and where the
// first reads may close descriptors that the peer has passed: that would hold up a caller.
func (c *Client) startReading() {
	c.conn.mu.Lock()
	defer c.conn.mu.Unlock()
	if sk := c.conn.ch.sock; sk == nil || sk.passing {
		c.giveBackLocked()
	} else if c.reader.turn.leave() {
		c.startTimerLocked(firstIdleLimit)
	}
}

// readLoop is the goroutine of the read loop. It starts when the loop first gets the turn,
// and ends with the connection.
func (c *Client) readLoop() {
	c.forgetWatch() // of a leader from before the goroutine
	for c.conn.readNext() {
		if !c.stepDown() {
			continue
		}
		select {
		case <-c.reader.turn.resume:
			c.forgetWatch() // the last leader's
		case <-c.conn.done:
			c.endTurn()
			return
		}
	}
	c.forgetWatch()
}

// stepDown leaves the turn for the receiver that the read loop has just woken, which will
// likely wait for more. It reports whether the read loop has left the turn.
func (c *Client) stepDown() bool {
	r, conn := &c.reader, c.conn
	if conn.ch.sock == nil || !r.woke || conn.reader.mustWait() || conn.ch.frameBuffered() {
		return false
	}
	r.woke = false
	conn.mu.Lock()
	defer conn.mu.Unlock()
	if conn.err != nil || !r.turn.mayLeave() {
		return false
	}
	c.leaveTurnLocked()
	return true
}

// receiverWaits is part of endpoint: it makes the receiver of e the leader if nobody reads.
func (c *Client) receiverWaits(ctx context.Context, e entry) {
	conn, s := c.conn, e.place()
	conn.mu.Lock()
	// If e is not in the table, or has something to receive, a signal for the receiver is
	// there or on its way.
	lead := conn.streams[s.id] == e && !e.receivable() && c.reader.turn.takeOrPark(s)
	conn.mu.Unlock()
	if lead {
		c.lead(ctx, e)
	}
}

// senderWaits is part of endpoint: it has the read loop read if nobody does.
func (c *Client) senderWaits(s *slot) {
	c.conn.mu.Lock()
	defer c.conn.mu.Unlock()
	c.reader.turn.park(s)
	c.ensureReaderLocked()
}

// ensureReaderLocked has the read loop read if nobody does.
func (c *Client) ensureReaderLocked() {
	if c.reader.turn.holder == heldByNobody && c.conn.err == nil {
		c.giveBackLocked()
	}
}

func (c *Client) giveBackLocked() {
	if c.reader.turn.giveBack() {
		go c.readLoop()
	}
}

// senderGoesOn is part of endpoint.
func (c *Client) senderGoesOn(s *slot) {
	c.conn.mu.Lock()
	defer c.conn.mu.Unlock()
	c.reader.turn.unpark(s)
}

// lead reads until there is something to receive on e or ctx ends, and passes the turn on.
// It runs on the leader's goroutine: that of a caller or a receiver.
//
// The methods of ctx are the caller's code and may panic. A panic harms that caller alone:
// lead passes the turn on first. lead calls the methods without a lock.
func (c *Client) lead(ctx context.Context, e entry) {
	r, conn := &c.reader, c.conn
	over, again := false, true // a Done that panics leaves the watch of another leader
	defer func() {
		if !over {
			c.passTurn(e, again)
		}
	}()
	done := ctx.Done()
	again = r.last == done
	r.last = done
	c.watch(ctx, done)
	for !conn.reader.mustWait() && (conn.ch.frameBuffered() || !e.receivable() && !isClosed(done)) {
		if !conn.readNext() {
			over = true
			c.forgetWatch()
			return
		}
	}
}

// passTurn is the end of lead: it gives the turn to the read loop, or leaves it to nobody.
// If again is set, the previous leader had the same context, and the watch on it stays.
func (c *Client) passTurn(e entry, again bool) {
	r, conn := &c.reader, c.conn
	if stop := r.unwatch; stop != nil && !again {
		r.watched, r.unwatch = nil, nil
		defer stop() // the caller's code: without the turn and the lock
	}
	conn.mu.Lock()
	over := conn.err != nil
	switch {
	case over:
	case conn.reader.mustWait() || conn.ch.frameBuffered() || !r.turn.mayLeave() || conn.unsent != nil:
		if conn.streams[e.place().id] == e && !e.receivable() {
			r.turn.park(e.place()) // ctx has ended, but another receiver of e may wait
		}
		c.giveBackLocked()
	default:
		c.leaveTurnLocked()
	}
	conn.mu.Unlock()
	if over {
		c.forgetWatch()
		conn.endRead()
	}
}

func (c *Client) leaveTurnLocked() {
	if !c.conn.ch.buffered() {
		c.conn.ch.dropChunk()
	}
	if c.reader.turn.leave() {
		c.startTimerLocked(idleLimit)
	}
}

// startTimerLocked starts the timer, which does not run.
func (c *Client) startTimerLocked(d time.Duration) {
	if c.reader.timer == nil {
		c.reader.timer = time.AfterFunc(d, c.expireTurn)
	} else {
		c.reader.timer.Reset(d)
	}
}

// expireTurn is run by the timer: it gives the turn to the read loop unless receivers still
// lead.
func (c *Client) expireTurn() {
	c.conn.mu.Lock()
	defer c.conn.mu.Unlock()
	if c.conn.err != nil {
		return
	}
	again, giveBack := c.reader.turn.expire()
	if again {
		c.startTimerLocked(idleLimit)
	}
	if giveBack {
		c.giveBackLocked()
	}
}

// endUnread calls endRead for a connection that has ended while nobody read and no read
// loop ran. It also stops the timer, which would keep the connection in memory.
func (c *Client) endUnread() {
	c.conn.mu.Lock()
	unread := c.reader.turn.holder == heldByNobody && !c.reader.turn.loopRuns
	if c.reader.timer != nil {
		c.reader.timer.Stop()
	}
	c.conn.mu.Unlock()
	if unread {
		c.forgetWatch()
		c.conn.endRead()
	}
}

// endTurn calls endRead for a read loop that has stepped down, unless a leader has the turn
// and does so.
func (c *Client) endTurn() {
	c.conn.mu.Lock()
	leads := c.reader.turn.holder == heldByLeader
	c.conn.mu.Unlock()
	if !leads {
		c.forgetWatch()
		c.conn.endRead()
	}
}

// watch makes the end of ctx, whose Done is done, interrupt reading. If two leaders in
// succession have the same context, the watch stays between them, as the next leader likely
// has that context again; an interrupt meant for nobody is harmless.
func (c *Client) watch(ctx context.Context, done <-chan struct{}) {
	r := &c.reader
	if r.watched == done {
		return
	}
	c.forgetWatch()
	if done != nil {
		r.unwatch = watchContext(ctx, done, c.conn.ch.interrupt)
		r.watched = done
	}
}

// forgetWatch ends the watch on the context of an earlier leader.
func (c *Client) forgetWatch() {
	r := &c.reader
	if r.unwatch != nil {
		go stopWatch(r.unwatch)
	}
	r.watched, r.unwatch = nil, nil
}
