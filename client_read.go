package ttrpc

import (
	"context"
	"time"
)

// This file is the client's side of reading: the read loop and leaders take turns
// (turn.go).

// clientReader is the state of reading that a client has beside its conn's.
type clientReader struct {
	// Guarded by conn.mu.

	turn  turn
	timer *time.Timer // calls expireTurn; nil until the first time

	// Of the holder of the turn.

	woke    bool            // the read loop has woken a receiver since it took the turn
	last    <-chan struct{} // Done of the last leader's context
	watched <-chan struct{} // Done of the context whose end interrupts reading
	unwatch func() bool     // ends that
}

// idleLimit is for how long nobody reads after a call, or up to twice as long after
// several: until then the end of the connection may go unnoticed.
const idleLimit = 10 * time.Millisecond

// readLoop is the goroutine of the read loop. NewClient starts it; it ends with the
// connection.
func (c *Client) readLoop() {
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

// stepDown leaves the turn to the receiver that the read loop has just woken, and
// that likely comes back to wait for more. It reports whether the turn is left.
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

// receiverWaits is part of endpoint: the receiver leads if nobody reads.
func (c *Client) receiverWaits(ctx context.Context, e entry) {
	conn, s := c.conn, e.place()
	conn.mu.Lock()
	// Without a place in the table, or with something to receive, there is a signal
	// for the receiver, or one on its way.
	lead := conn.streams[s.id] == e && !e.receivable() && c.reader.turn.takeOrPark(s)
	conn.mu.Unlock()
	if lead {
		c.lead(ctx, e)
	}
}

// lead reads until there is something to receive on e, or ctx ends, and passes the
// turn on. The caller is the leader.
//
// The methods of ctx are the caller's code and may panic: that costs the caller alone,
// as the turn is passed on first. They are called without a lock.
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

// passTurn is the end of lead: the turn goes to the read loop, or to nobody. The watch
// on the leader's context stays if it has led with that again.
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
	case conn.reader.mustWait() || conn.ch.frameBuffered() || !r.turn.mayLeave():
		if conn.streams[e.place().id] == e && !e.receivable() {
			r.turn.park(e.place()) // ctx has ended, but another receiver may wait
		}
		r.turn.giveBack()
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
		c.startTimerLocked()
	}
}

func (c *Client) startTimerLocked() {
	if c.reader.timer == nil {
		c.reader.timer = time.AfterFunc(idleLimit, c.expireTurn)
	} else {
		c.reader.timer.Reset(idleLimit)
	}
}

// expireTurn is run by the timer.
func (c *Client) expireTurn() {
	c.conn.mu.Lock()
	defer c.conn.mu.Unlock()
	if c.conn.err == nil && c.reader.turn.expire() {
		c.startTimerLocked()
	}
}

// endTurn is endRead for the read loop that has stepped down, unless a leader does
// that.
func (c *Client) endTurn() {
	c.conn.mu.Lock()
	leads := c.reader.turn.holder == heldByLeader
	c.conn.mu.Unlock()
	if !leads {
		c.forgetWatch()
		c.conn.endRead()
	}
}

// watch has the end of ctx, which closes done, interrupt reading. The watch on the
// context of a leader that has led with it before stays when it has its message, as it
// likely comes back; an interrupt that is for nobody does no harm.
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
