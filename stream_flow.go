package ttrpc

import (
	"context"
	"math"
)

// This file is the windows of streams: PROTOCOL.md, section "Windows". Their arithmetic is
// in flow.go.
//
// A sender takes room in the queue of the connection, and looks at the window under the
// lock under which it queues. If the window is closed, the sender gives the room back
// before it waits: it would hold up the senders of all other streams.

// A flow is the windows of a stream, both ways. A stream has one if the connection has
// windows, or may get them while the stream is open: the costs count from its beginning.
// stream.mu guards it.
type flow struct {
	send sendWindow
	recv receiveWindow

	// opened is closed when the window of the senders opens; nil while none waits.
	opened chan struct{}

	// stating is set while a window frame of the stream waits to be written, and owed
	// when the limit has risen since. A peer that sends and does not read gets no more
	// memory by that.
	stating, owed bool
}

// window returns the window that we give to each stream, in bytes of dataCost: half of the
// buffer, as a message may take twice its cost in memory. See inbox.pack.
func (cn *conn) window() uint32 { return windowOf(cn.maxInbox) }

func windowOf(maxInbox int) uint32 { return uint32(min(max(maxInbox/2, 1), math.MaxInt32)) }

// startFlowLocked begins the windows of a new stream, whose request is queued, or was read,
// under the same lock of cn.mu. It reports false on a connection that has none.
func (cn *conn) startFlowLocked(f *flow) bool {
	switch {
	case cn.ext.uses(featureWindows):
		f.send.limit = uint64(cn.ext.peerWindow)
		f.recv = newReceiveWindow(cn.window())
		return true
	case cn.ext.is(extended):
		return false
	}
	return !cn.ext.is(plain) // giveWindowsLocked may follow
}

// giveWindowsLocked states the first limit of the streams that are older than the
// negotiation, which is over now. The caller flushes.
func (cn *conn) giveWindowsLocked() {
	if !cn.ext.uses(featureWindows) {
		return
	}
	for _, e := range cn.streams {
		if st, ok := e.(*stream); ok {
			st.giveWindow(cn.window())
		}
	}
}

func (st *stream) giveWindow(size uint32) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.flow == nil {
		return
	}
	if limit, send := st.flow.recv.begin(size); send && st.inbox.err == nil {
		st.stateLocked(limit)
	}
}

// stateLocked queues a window frame.
func (st *stream) stateLocked(limit uint64) {
	st.conn.ch.w.enqueueControl(windowUpdate{id: st.id, limit: limit}.frame())
}

// takeWindow handles a window frame with payload b. The goroutine that reads calls it.
func (cn *conn) takeWindow(b []byte) error {
	wu, ok := parseWindowUpdate(b)
	cn.mu.Lock()
	inUse := cn.ext.uses(featureWindows)
	st, _ := cn.streams[wu.id].(*stream)
	cn.mu.Unlock()
	switch {
	case !inUse:
	case !ok:
		return errProtocol("a window frame of %d bytes, which is too short", len(b))
	case st != nil:
		st.raise(wu.limit)
	}
	return nil
}

// raise takes a limit from the peer, and wakes senders that wait for it.
func (st *stream) raise(limit uint64) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if f := st.flow; f != nil && f.send.raise(limit) {
		f.wakeSendersLocked()
	}
}

// chargeLocked takes cost from the window, or reports false if that is closed.
func (st *stream) chargeLocked(cost uint64) bool {
	if st.flow == nil || cost == 0 {
		return true
	}
	if !st.openLocked() {
		return false
	}
	st.flow.send.charge(cost)
	return true
}

// openLocked reports whether a sender may go on. While reading waits for a receiver of the
// stream (waitDeliver), its senders do not wait for a window: a receiver may be the same
// goroutine, and the window frame come behind the message that has no room. Strict streams
// never get there, and on others the peer takes a message beyond its limit.
func (st *stream) openLocked() bool { return st.flow.send.open() || st.inbox.room != nil }

// wakeSendersLocked wakes the senders that wait for the window.
func (fl *flow) wakeSendersLocked() {
	if fl.opened != nil {
		close(fl.opened)
		fl.opened = nil
	}
}

// awaitWindow waits until the window is open. It returns the error of ctx, and nil when
// sending has ended. The caller holds no room.
func (st *stream) awaitWindow(ctx context.Context) error {
	st.mu.Lock()
	if st.sendErr != nil || st.openLocked() {
		st.mu.Unlock()
		return nil
	}
	if st.flow.opened == nil {
		st.flow.opened = make(chan struct{})
	}
	opened, over := st.flow.opened, st.sendDoneLocked()
	st.mu.Unlock()
	done := ctx.Done() // the caller's code: without the lock
	s := new(slot)
	st.conn.endpoint.senderWaits(s)
	select {
	case <-opened:
	case <-over:
	case <-done:
	}
	st.conn.endpoint.senderGoesOn(s)
	select {
	case <-opened:
	case <-over:
	default:
		return ctx.Err()
	}
	return nil
}

// reserveOpen is for a sender that has room for n bytes and finds the window closed: it
// gives the room back, waits for the window, and takes room again.
func (st *stream) reserveOpen(ctx context.Context, n int) error {
	st.conn.ch.w.room.give(n)
	if err := st.awaitWindow(ctx); err != nil {
		return err
	}
	if err := st.reserve(ctx, n); err != nil {
		return err
	}
	return st.keepRoom(ctx, n)
}

// consumeLocked counts a message that a receiver has taken, or nobody ever will. It
// reports whether a window frame was queued: then the caller calls flushWindow, without locks.
func (st *stream) consumeLocked(cost uint32) (stated bool) {
	f := st.flow
	if f == nil || cost == 0 {
		return false
	}
	limit, send := f.recv.consume(uint64(cost))
	if !send || st.inbox.err != nil { // the peer sends no more
		return false
	}
	if f.stating {
		f.owed = true
		return false
	}
	f.stating = true
	st.stateLocked(limit)
	return true
}

// flushWindow flushes a window frame.
//
//go:noinline
func (st *stream) flushWindow() {
	st.conn.ch.w.flush()
	st.conn.whenWindowWritten(st.id)
}

// whenWindowWritten has windowWritten called when a window frame is written, or nothing can
// be written any more. Until then it keeps no stream in memory that has ended: a peer that
// does not read could have any number of calls kept.
func (cn *conn) whenWindowWritten(id streamID) {
	cn.ch.w.whenFlushed(func() {
		cn.mu.Lock()
		st, _ := cn.streams[id].(*stream)
		cn.mu.Unlock()
		if st != nil {
			st.windowWritten()
		}
	})
}

// windowWritten states the limit of now, if that has risen since the last window frame. In
// rare cases that frame was of an earlier stream with the same id: then one more may wait.
func (st *stream) windowWritten() {
	st.mu.Lock()
	f := st.flow
	again := f != nil && f.owed && st.inbox.err == nil
	if f != nil {
		f.stating, f.owed = again, false
	}
	if again {
		st.stateLocked(f.recv.limit)
	}
	st.mu.Unlock()
	if again {
		st.conn.ch.w.flushLater()
		st.conn.whenWindowWritten(st.id)
	}
}

// packLocked has the messages that wait take twice their cost in memory at most, when they
// take much: a peer that keeps to its window then stays below the limit of the inbox.
func (st *stream) packLocked() {
	if f := st.flow; f != nil && f.recv.size > 0 {
		waiting := min(f.recv.received-f.recv.consumed, math.MaxInt32/2)
		st.inbox.pack(2 * int(waiting))
	}
}
