package ttrpc

import (
	"context"
	"runtime"
)

// On a kernel socket, one who waits for a frame reads it himself when nobody
// else reads: that saves waking one goroutine which only wakes another. The
// right to read, and with it the reading half of the channel, belongs to one at
// a time:
//
//   - the reading goroutine: at first, while several wait, and while nobody waits
//     at all: then it sees what the peer does next;
//   - a receiver that leads: it handles every frame that comes, until there is
//     one for itself;
//   - nobody, for a short time after that, in which the next receiver leads.
//     role.readingLeft sees to it that the time is short.
//
// On other connections, whose reads cannot be interrupted, the reading
// goroutine has it for good.

type readRole uint8

const (
	readByLoop readRole = iota
	readByReceiver
	readByNobody
)

func (r readRole) String() string {
	switch r {
	case readByLoop:
		return "reading goroutine"
	case readByReceiver:
		return "receiver"
	}
	return "nobody"
}

// connReader is the part of a conn that decides who reads.
type connReader struct {
	// Guarded by conn.mu.

	role readRole

	// parked is how many streams have a receiver that waits without reading.
	// It is a hint: of two receivers of one stream it counts one, and when it
	// is wrong something is read a little later than it could be.
	parked int

	// wake gives the role to the reading goroutine. Made when that first
	// gives it up; sent with conn.mu held by whoever sets role to readByLoop.
	wake chan struct{}

	// Of whoever has the role.

	leading     bool            // it is a receiver
	woke        *stream         // whose receiver was woken last, since the role was last left
	repliesFull bool            // too many replies wait to be written: see waitReplies
	holding     bool            // writes are held until settle
	stalled     *stalledMessage // to deliver before anything else is read
	last        <-chan struct{} // Done of the last leader's context
	watched     <-chan struct{} // Done of the context whose end interrupts reading
	unwatch     func() bool     // ends that
}

// stalledMessage is one that found its stream's inbox full.
type stalledMessage struct {
	st *stream
	m  message
}

// readLoop is the reading goroutine. The owner of the conn starts it; it ends
// with the connection, or when another one takes its place (errReadLent).
func (c *conn) readLoop() {
	for c.readNext() {
		if !c.stepDown() {
			continue
		}
		select {
		case <-c.reader.wake:
			c.forgetWatch() // the last leader's
		case <-c.done:
			c.abandonRole()
			return
		}
	}
}

// readNext handles the next frame. It says false when the caller, who has the
// role, has it no longer: the connection has ended or errReadLent.
func (c *conn) readNext() bool {
	r := &c.reader
	if r.stalled != nil || !c.ch.frameBuffered() {
		c.settle()
	}
	err := c.handleNext()
	switch {
	case err == nil:
		c.hold()
		return true
	case err == errReadLent:
		return false
	case c.ch.interrupted(err), c.handleError(err):
		return true
	}
	c.endRead()
	return false
}

// handleNext does what is to be done next. It waits for something other than a
// frame only for the reading goroutine: see lead.
func (c *conn) handleNext() error {
	r := &c.reader
	if s := r.stalled; s != nil {
		r.stalled = nil
		return c.waitDeliver(s.st, s.m)
	}
	if r.repliesFull {
		r.repliesFull = false
		return c.waitReplies()
	}
	h, buf, err := c.ch.readFrame()
	if err != nil {
		return err
	}
	return c.role.handleFrame(h, buf)
}

// deliver gives st a message that the peer sent. If its inbox is full the
// message stalls, and so does reading.
func (c *conn) deliver(st *stream, m message) {
	if !st.push(m) {
		c.reader.stalled = &stalledMessage{st: st, m: m}
	}
}

// unparkLocked notes that the receiver of st, if it waits, is about to be woken.
func (c *conn) unparkLocked(st *stream) (waited bool) {
	if !st.parked {
		return false
	}
	st.parked = false
	c.reader.parked--
	return true
}

// wakingLocked is unparkLocked for whoever reads, before it delivers to st.
func (c *conn) wakingLocked(st *stream) {
	if c.unparkLocked(st) {
		c.reader.woke = st
	}
}

// hold begins to hold writes when there are more frames to hand out: those who
// are woken by the first ones likely send something at once.
func (c *conn) hold() {
	if c.gathers && !c.reader.holding && c.ch.frameBuffered() {
		c.reader.holding = true
		c.ch.hold()
	}
}

// settle lets those run whose frames came together, and then writes together
// what they send next.
func (c *conn) settle() {
	if c.reader.holding {
		c.reader.holding = false
		runtime.Gosched()
		c.ch.release()
	}
}

// stepDown gives the reading goroutine's role up to the receiver that it has
// just woken, and that likely comes back to wait for more.
func (c *conn) stepDown() bool {
	r := &c.reader
	if c.ch.sock == nil || r.woke == nil || r.stalled != nil || r.repliesFull || c.ch.frameBuffered() {
		return false
	}
	c.settle()
	c.ch.flushReplies()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil || !c.role.mayLeaveReading(r.woke) {
		r.woke = nil
		return false
	}
	if r.wake == nil {
		r.wake = make(chan struct{}, 1)
	}
	c.leaveReadingLocked()
	return true
}

// park says what the receiver of st does to wait: if true it leads, else it
// waits for somebody to signal.
func (c *conn) park(st *stream) (lead bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.streams[st.id] != st || st.receivable() {
		return false // there is a signal already, or it is on its way
	}
	return c.leadOrParkLocked(st)
}

// leadOrParkLocked gives the receiver of st the role of the reader if nobody has it,
// and notes otherwise that it waits.
func (c *conn) leadOrParkLocked(st *stream) (lead bool) {
	if c.reader.role == readByNobody {
		c.reader.role = readByReceiver
		c.role.readingTaken()
		return true
	}
	c.parkLocked(st)
	return false
}

func (c *conn) parkLocked(st *stream) {
	if !st.parked {
		st.parked = true
		c.reader.parked++
	}
}

// lead reads until there is something to receive on st, or ctx ends, and passes
// the role on.
//
// The methods of ctx are the caller's code and may panic: that costs the caller alone,
// as the role is passed on first. They are called without a lock.
func (c *conn) lead(ctx context.Context, st *stream) {
	r := &c.reader
	r.leading = true
	over, again := false, true // a Done that panics leaves the watch of another one
	defer func() {
		if !over {
			c.passOn(st, again)
		}
	}()
	done := ctx.Done()
	again = r.last == done
	r.last = done
	c.watch(ctx)
	for r.stalled == nil && !r.repliesFull && (c.ch.frameBuffered() || !st.receivable() && !isClosed(done)) {
		if !c.readNext() {
			over = true
			return
		}
	}
}

// passOn ends the leading of the receiver of st. The watch on its context stays if it
// has led with that again.
func (c *conn) passOn(st *stream, again bool) {
	r := &c.reader
	c.settle()
	if !again {
		stop := r.unwatch
		r.watched, r.unwatch = nil, nil
		if stop != nil {
			defer stop() // the caller's code: without the role and the lock
		}
	}
	r.leading = false
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.err != nil:
		c.endRead()
	case r.stalled != nil || r.repliesFull || c.ch.frameBuffered() || !c.role.mayLeaveReading(st):
		if c.streams[st.id] == st && !st.receivable() {
			c.parkLocked(st)
		}
		c.wakeLoopLocked()
	default:
		c.leaveReadingLocked()
	}
}

func (c *conn) leaveReadingLocked() {
	if !c.ch.buffered() {
		c.ch.dropChunk()
	}
	c.reader.role = readByNobody
	c.reader.woke = nil
	c.role.readingLeft()
}

// readAgain gives the role to the reading goroutine if nobody has it.
func (c *conn) readAgain() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.reader.role == readByNobody && c.err == nil {
		c.wakeLoopLocked()
	}
}

func (c *conn) wakeLoopLocked() {
	c.reader.role = readByLoop
	c.reader.wake <- struct{}{} // has room: it is received before the role is given up again
}

// watch has the end of ctx interrupt reading. The watch on the context of one
// who has led with it before stays when it has its message, as it likely comes
// back; an interrupt that is for nobody does no harm.
func (c *conn) watch(ctx context.Context) {
	r := &c.reader
	done := ctx.Done()
	if r.watched == done {
		return
	}
	c.forgetWatch()
	if done != nil {
		r.unwatch = watchContext(ctx, done, c.ch.interrupt)
		r.watched = done
	}
}

// forgetWatch ends the watch on the context of another one who led before.
func (c *conn) forgetWatch() {
	r := &c.reader
	if r.unwatch != nil {
		go stopWatch(r.unwatch)
	}
	r.watched, r.unwatch = nil, nil
}

// abandonRole is endRead for the reading goroutine that has stepped down, if
// the role is not with a receiver, who does that.
func (c *conn) abandonRole() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.reader.role != readByReceiver {
		c.endRead()
	}
}

// endRead frees what the role's owner holds, once the connection has ended.
func (c *conn) endRead() {
	c.forgetWatch()
	c.ch.releaseRead()
	if s := c.reader.stalled; s != nil {
		c.reader.stalled = nil
		s.m.buf.release()
	}
}
