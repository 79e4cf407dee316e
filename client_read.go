package ttrpc

import (
	"context"
	"errors"
	"os"
	"runtime"
	"time"
)

// On a kernel socket the caller of a unary call reads its response itself when
// nobody else reads: that saves waking one goroutine which only wakes another.
// The right to read, the role, belongs to one at a time:
//
//   - the reading goroutine, at first, while calls of several callers or streams
//     are under way, and while the connection is idle: then it sees when the
//     peer goes away;
//   - a caller that leads: it handles every frame that comes until it has its
//     own response;
//   - nobody, for an idleLimit after that, in which the next caller leads.
//
// On other connections, whose reads cannot be interrupted, the reading
// goroutine has it for good.

// idleLimit is for how long nobody reads after a call: until then the end of the
// connection may go unnoticed.
const idleLimit = 10 * time.Millisecond

type readRole uint8

const (
	readByLoop readRole = iota
	readByCaller
	readByNobody
)

func (r readRole) String() string {
	switch r {
	case readByLoop:
		return "loop"
	case readByCaller:
		return "caller"
	}
	return "nobody"
}

// clientReader is the part of a Client that decides who reads.
type clientReader struct {
	// Guarded by conn.mu.

	role  readRole
	leads uint64      // how often callers have led
	idle  *time.Timer // gives the role back to the reading goroutine
	armed bool        // idle runs
	seen  uint64      // leads when idle ran out last

	// wake gives the role to the reading goroutine. Sent with conn.mu held,
	// by whoever sets role to readByLoop; received by readLoop.
	wake chan struct{}

	// Of whoever has the role.

	stalled *stalledMessage // to deliver before anything else is read
	holding bool            // writes are held until settle
	watched <-chan struct{} // Done of the context whose end interrupts reading
	unwatch func() bool     // ends that
}

// stalledMessage is one that found its stream's inbox full while a caller led.
type stalledMessage struct {
	st *stream
	m  message
}

// errStalled says that a message is stalled.
var errStalled = errors.New("a stream's inbox is full")

// readLoop is the reading goroutine. NewClient starts it; it ends with the
// connection.
func (c *Client) readLoop() {
	for {
		if !c.readNext() {
			return
		}
		if c.stepDown() {
			select {
			case <-c.reader.wake:
				c.watch(context.Background()) // forget the last leader's
			case <-c.conn.done:
				c.releaseRead()
				return
			}
		}
	}
}

// readNext handles the next frame. It says false when the connection has ended.
// The caller has the role.
func (c *Client) readNext() bool {
	if c.reader.stalled != nil || !c.conn.ch.frameBuffered() {
		c.settle()
	}
	if s := c.reader.stalled; s != nil {
		c.reader.stalled = nil
		if err := c.conn.deliver(s.st, s.m); err != nil && !c.conn.handleError(err) {
			c.endRead()
			return false
		}
		return true
	}
	h, buf, err := c.conn.ch.readFrame()
	if err == nil {
		err = c.handleFrame(h, buf)
	}
	switch {
	case err == nil:
		if !c.reader.holding && c.conn.ch.frameBuffered() {
			c.reader.holding = true
			c.conn.ch.hold()
		}
		return true
	case err == errStalled:
		return true
	case c.conn.ch.interrupted(err):
		return true
	case c.conn.handleError(err):
		return true
	}
	c.endRead()
	return false
}

// settle lets the callers run whose responses came together, and then writes
// what they send next together, too: writes were held from the first of the
// responses on.
func (c *Client) settle() {
	if c.reader.holding {
		c.reader.holding = false
		runtime.Gosched()
		c.conn.ch.release()
	}
}

// endRead frees what the role's owner holds, once the connection has ended.
func (c *Client) endRead() {
	c.watch(context.Background())
	c.conn.ch.releaseRead()
}

// releaseRead frees what the reading half holds, once the connection has ended,
// unless a caller has the role, who will.
func (c *Client) releaseRead() {
	c.conn.mu.Lock()
	defer c.conn.mu.Unlock()
	if c.reader.role != readByCaller {
		c.endRead()
	}
}

// stepDown gives the reading goroutine's role up when nothing is under way.
func (c *Client) stepDown() bool {
	if c.conn.ch.sock == nil {
		return false
	}
	c.conn.mu.Lock()
	defer c.conn.mu.Unlock()
	if len(c.conn.streams) > 0 || c.conn.ch.buffered() || c.reader.stalled != nil || c.conn.err != nil {
		return false
	}
	c.leaveIdleLocked()
	return true
}

// takeRoleLocked sees to it that somebody reads when st is opened. It says true
// when that is the caller.
func (c *Client) takeRoleLocked(st *stream) (lead bool) {
	if c.reader.role != readByNobody {
		return false
	}
	if !st.unary {
		c.wakeLoopLocked()
		return false
	}
	c.reader.role = readByCaller
	c.reader.leads++
	return true
}

// lead reads until the call of st is over or ctx is. The caller has the role,
// and passes it on.
func (c *Client) lead(ctx context.Context, st *stream) {
	c.watch(ctx)
	for !st.receivable() && ctx.Err() == nil && c.reader.stalled == nil {
		if !c.readNext() {
			return
		}
	}
	for c.conn.ch.frameBuffered() && c.reader.stalled == nil {
		if !c.readNext() {
			return
		}
	}
	c.settle()
	c.conn.mu.Lock()
	defer c.conn.mu.Unlock()
	switch {
	case c.conn.err != nil:
		c.endRead()
	case len(c.conn.streams) > 0 || c.conn.ch.buffered() || c.reader.stalled != nil:
		c.wakeLoopLocked()
	default:
		c.leaveIdleLocked()
	}
}

// watch has the end of ctx interrupt reading. The watch stays when the caller
// has its response, as its next call likely comes with the same context; an
// interrupt that nobody waits for does no harm.
func (c *Client) watch(ctx context.Context) {
	done := ctx.Done()
	if c.reader.watched == done {
		return
	}
	if c.reader.unwatch != nil {
		c.reader.unwatch()
	}
	c.reader.watched, c.reader.unwatch = done, nil
	if done != nil {
		c.reader.unwatch = context.AfterFunc(ctx, c.conn.ch.interrupt)
	}
}

func (c *Client) wakeLoopLocked() {
	c.reader.role = readByLoop
	c.reader.wake <- struct{}{} // has room: it is received before the role is given up again
}

// leaveIdleLocked gives the role to nobody, for a while.
func (c *Client) leaveIdleLocked() {
	c.reader.role = readByNobody
	if c.reader.armed {
		return
	}
	c.reader.armed = true
	if c.reader.idle == nil {
		c.reader.idle = time.AfterFunc(idleLimit, c.idleExpired)
	} else {
		c.reader.idle.Reset(idleLimit)
	}
}

// idleExpired has the reading goroutine read again when no caller has led for a
// while.
func (c *Client) idleExpired() {
	c.conn.mu.Lock()
	defer c.conn.mu.Unlock()
	c.reader.armed = false
	if c.reader.role != readByNobody || c.conn.err != nil {
		return
	}
	if c.reader.leads != c.reader.seen {
		c.reader.seen = c.reader.leads
		c.leaveIdleLocked()
		return
	}
	c.wakeLoopLocked()
}

// interrupt ends a read of a socket that waits, or else the next one.
func (ch *channel) interrupt() { ch.conn.SetReadDeadline(time.Unix(1, 0)) }

// interrupted says whether err comes from interrupt, and lets reading go on: who
// was meant looks at its context next, and who was not just reads.
func (ch *channel) interrupted(err error) bool {
	if ch.sock == nil || !errors.Is(err, os.ErrDeadlineExceeded) {
		return false
	}
	ch.conn.SetReadDeadline(time.Time{})
	return true
}
