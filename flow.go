package ttrpc

import "math"

// This file counts a stream's data for its windows: PROTOCOL.md, section "Windows". The types
// only keep state and decide: they do no I/O and take no locks. stream.mu guards them, and
// stream_flow.go uses them.
//
// Both sides add up the cost of a stream's data for each direction, from the beginning of the
// stream. The receiver states limits for that sum. Limits are absolute and only rise, so that
// the highest limit replaces all others. TestFlowWalk and FuzzFlow run a sender and a receiver
// in all orders.

// dataOverhead is the cost of a data frame besides its payload, in bytes. It is part of the
// protocol.
const dataOverhead = 64

// dataCost returns the cost of a frame in the window of its stream. The final data frame of
// a side is free, so that every stream can end, and so is a message in a request, so that
// every stream can begin.
func dataCost(h header) uint64 {
	if h.typ != messageTypeData || h.flags.has(flagRemoteClosed) {
		return 0
	}
	return uint64(h.length) + dataOverhead
}

// sendWindow is the sender's half of a window.
type sendWindow struct {
	sent  uint64 // cost of all data
	limit uint64 // the highest limit that the receiver has stated; 0 before the first
}

// open reports whether the sender may send a message of any length: a message longer than
// the window would otherwise wait forever.
func (sw *sendWindow) open() bool { return sw.limit == 0 || sw.sent < sw.limit }

// charge counts a frame, in the order of sending. The caller has found the window open
// under the same lock; otherwise the receiver may take the frame for an overrun.
func (sw *sendWindow) charge(cost uint64) { sw.sent = addSaturated(sw.sent, cost) }

// raise sets a limit from the receiver, and reports whether waiting senders may go on. It
// ignores a limit that is not higher than an earlier one.
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
	received uint64 // cost of all data that has arrived
	consumed uint64 // cost of the data that receivers have taken, or that was dropped
	limit    uint64 // the highest limit that was stated; 0 before the first
	size     uint32 // the distance of a new limit from consumed; 0 for no window

	// strict is set if both sides have known the first limit since the stream began.
	// Data beyond a limit then breaks the protocol; otherwise it may have been in
	// transit.
	strict bool
}

// newReceiveWindow returns the window of a stream that begins after the negotiation: both
// sides know the first limit from the settings.
func newReceiveWindow(size uint32) receiveWindow {
	return receiveWindow{size: size, limit: uint64(size), strict: size > 0}
}

// begin opens the window of a stream that began before the end of the negotiation. It
// returns the first limit, and whether the caller must send it.
func (rw *receiveWindow) begin(size uint32) (limit uint64, send bool) {
	rw.size = size
	rw.limit = rw.next()
	return rw.limit, size > 0
}

// next returns the limit that the receiver could state now.
func (rw *receiveWindow) next() uint64 {
	if rw.size == 0 {
		return 0
	}
	return addSaturated(rw.consumed, uint64(rw.size))
}

// arrive counts a frame that has arrived. It reports whether the peer was allowed to send
// it.
func (rw *receiveWindow) arrive(cost uint64) (ok bool) {
	ok = !rw.strict || cost == 0 || rw.received < rw.limit
	rw.received = addSaturated(rw.received, cost)
	return ok
}

// consume counts a frame that a receiver has taken, or that is dropped while the stream
// goes on. Once half of the window is consumed, it returns a limit and true, and the caller
// sends the limit. A sender that has used up its window can therefore always go on: all of
// its data gets consumed.
func (rw *receiveWindow) consume(cost uint64) (limit uint64, send bool) {
	rw.consumed = addSaturated(rw.consumed, cost)
	next := rw.next()
	if rw.size == 0 || next-rw.limit < uint64(rw.size)/2 || next == rw.limit {
		return 0, false
	}
	rw.limit = next
	return next, true
}

// addSaturated returns a+b, or the highest number if the sum overflows.
func addSaturated(a, b uint64) uint64 {
	if a > math.MaxUint64-b {
		return math.MaxUint64
	}
	return a + b
}
