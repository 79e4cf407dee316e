package ttrpc

import (
	"context"
	"math"
)

// This file implements the windows of streams: PROTOCOL.md, section "Windows". Their
// arithmetic is in flow.go.
//
// A sender takes room in the queue of the connection, and then checks the window under the
// lock under which it queues. If the window is closed, the sender gives the room back before
// it waits: otherwise it would hold up the senders of all other streams.

// A flow has the windows of a stream, in both directions. A stream has a flow if its
// connection has windows, or may get windows while the stream is open: costs count from the
// beginning of the stream. stream.mu guards the flow.
type flow struct {
	send sendWindow
	recv receiveWindow

	// opened is closed when the sender's window opens; nil while no sender waits.
	opened chan struct{}

	// stating is set while a window frame of the stream waits to be written. owed is
	// set if the limit has risen in the meantime. A peer that sends and does not read
	// therefore costs no memory.
	stating, owed bool
}

// window returns the window that this side gives to each stream, in bytes of dataCost. It
// is half of the buffer, because a message may take twice its cost in memory: see
// inbox.pack.
func (cn *conn) window() uint32 { return windowOf(cn.maxInbox) }

func windowOf(maxInbox int) uint32 { return uint32(min(max(maxInbox/2, 1), math.MaxInt32)) }

// startFlowLocked begins the windows of a new stream. The caller queues or has read the
// stream's request under the same lock of cn.mu. It returns false on a connection without
// windows.
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

// giveWindowsLocked states the first limits of the streams that began before the end of the
// negotiation. The caller flushes.
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

// giveWindow queues the first window frame of the stream.
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

// raise sets a limit from the peer, and wakes the senders that wait for it.
func (st *stream) raise(limit uint64) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if f := st.flow; f != nil && f.send.raise(limit) {
		f.wakeSendersLocked()
	}
}

// chargeLocked charges cost to the sender's window. It returns false if the window is
// closed.
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

// openLocked reports whether a sender may send. While the read loop waits for a receiver of
// the stream (waitDeliver), senders do not wait for the window: the receiver may be the
// same goroutine as the sender, and the window frame may be behind the message that has no
// room. On a strict stream the read loop never waits; on other streams the peer accepts a
// message beyond its limit.
func (st *stream) openLocked() bool { return st.flow.send.open() || st.inbox.room != nil }

// wakeSendersLocked wakes the senders that wait for the window.
func (fl *flow) wakeSendersLocked() {
	if fl.opened != nil {
		close(fl.opened)
		fl.opened = nil
	}
}

// awaitWindow waits until the window is open or sending has ended, and then returns nil. If
// ctx ends first, it returns the error of ctx. The caller holds no room.
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

// reserveOpen is called by a sender that has room for n bytes and finds the window closed.
// It gives the room back, waits for the window, and takes room again.
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

// consumeLocked counts a message that a receiver has taken, or that was dropped. It reports
// whether it has queued a window frame: the caller then calls flushWindow without locks.
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

// whenWindowWritten calls windowWritten when a window frame is written, or nothing can be
// written any more. It refers to the stream by its id and so keeps no ended stream in
// memory: otherwise a peer that does not read could make the connection keep any number of
// calls.
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

// windowWritten states the current limit if the limit has risen since the last window
// frame. In rare cases the written frame was that of an earlier stream with the same id;
// then two window frames may wait at once.
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

// packLocked limits the memory of the waiting messages to twice their cost, once they take
// much. The messages of a peer that keeps to its window then stay below the limit of the
// inbox.
func (st *stream) packLocked() {
	if f := st.flow; f != nil && f.recv.size > 0 {
		waiting := min(f.recv.received-f.recv.consumed, math.MaxInt32/2)
		st.inbox.pack(2 * int(waiting))
	}
}
