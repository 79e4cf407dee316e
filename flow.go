package ttrpc

import "math"

// This file is flow control of a stream's data: PROTOCOL.md, section "Windows". Its types
// count and decide, and do nothing else: no I/O, no locks. The stream's mu guards them.
//
// Both sides add up the cost of the data on a stream, each way, from its beginning. The
// receiver states limits for that sum, which only rise, so that none of them can be
// lost in adding and two of them do as much as the higher one. TestFlowWalk and
// FuzzFlow have a sender and a receiver meet in all orders. stream_flow.go
// uses them.

// dataOverhead is the cost of a data frame beside its payload, in bytes. It is part of
// the protocol.
const dataOverhead = 64

// dataCost returns the cost of a frame in the window of its stream. The final frame of a side
// is free, lest a stream cannot end, and so is a message in a request: without it there
// is no stream.
func dataCost(h header) uint64 {
	if h.typ != messageTypeData || h.flags.has(flagRemoteClosed) {
		return 0
	}
	return uint64(h.length) + dataOverhead
}

// sendWindow is the sender's half of a window.
type sendWindow struct {
	sent  uint64 // cost of all data
	limit uint64 // the highest that the receiver has stated; 0 before the first
}

// open reports whether a message may be sent, of any length: one that is longer than
// the window would wait for ever otherwise.
func (sw *sendWindow) open() bool { return sw.limit == 0 || sw.sent < sw.limit }

// charge counts a frame, in the order of sending. The window was open under the same
// lock: else the receiver may take the frame for an overrun.
func (sw *sendWindow) charge(cost uint64) { sw.sent = addSaturated(sw.sent, cost) }

// raise takes a limit from the receiver, and reports whether senders that wait may go
// on. A limit that is not higher than an earlier one is ignored.
func (sw *sendWindow) raise(limit uint64) (opens bool) {
	if limit <= sw.limit {
		return false
	}
	was := sw.open()
	sw.limit = limit
	return !was && sw.open()
}

// receiveWindow is the receiver's half of a window.
type receiveWindow struct {
	received uint64 // cost of all data that has come
	consumed uint64 // of which receivers have taken, or nobody ever will
	limit    uint64 // the highest that was stated; 0 before the first
	size     uint32 // how far the limit is ahead of consumed; 0 for no window

	// strict is set when both sides know the first limit since the stream began.
	// Data beyond a limit then breaks the protocol; else it was on its way.
	strict bool
}

// newReceiveWindow is the window of a stream that begins after the negotiation: its
// first limit is known from the settings.
func newReceiveWindow(size uint32) receiveWindow {
	return receiveWindow{size: size, limit: uint64(size), strict: size > 0}
}

// begin is for a stream that has begun before the negotiation was over. It returns the
// first limit, which the caller sends; false for none.
func (rw *receiveWindow) begin(size uint32) (limit uint64, send bool) {
	rw.size = size
	rw.limit = rw.next()
	return rw.limit, size > 0
}

// next is the limit that could be stated now.
func (rw *receiveWindow) next() uint64 {
	if rw.size == 0 {
		return 0
	}
	return addSaturated(rw.consumed, uint64(rw.size))
}

// arrive counts a frame that has come. It reports false for one that the peer should
// not have sent.
func (rw *receiveWindow) arrive(cost uint64) (ok bool) {
	ok = !rw.strict || cost == 0 || rw.received < rw.limit
	rw.received = addSaturated(rw.received, cost)
	return ok
}

// consume counts a frame that a receiver has taken, or that is dropped while the stream
// goes on. It returns a limit that the caller sends, once half of the window is
// consumed: a sender that has stopped can then always go on, as it has sent all of it.
func (rw *receiveWindow) consume(cost uint64) (limit uint64, send bool) {
	rw.consumed = addSaturated(rw.consumed, cost)
	next := rw.next()
	if rw.size == 0 || next-rw.limit < uint64(rw.size)/2 || next == rw.limit {
		return 0, false
	}
	rw.limit = next
	return next, true
}

// addSaturated returns a+b, or the highest number.
func addSaturated(a, b uint64) uint64 {
	if a > math.MaxUint64-b {
		return math.MaxUint64
	}
	return a + b
}
