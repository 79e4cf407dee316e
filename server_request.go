package ttrpc

import (
	"sync/atomic"
	"time"
)

// A callRequest is the request of a unary call on a server: the buffer of its frame and the
// message in it.
//
// The call and running decodes are the users of the buffer. The call gives the buffer up by
// close: when its handler has returned, or after the end of its stream, so that handlers
// that go on keep nothing of an ended connection. A decode uses the buffer from beginDecode
// to endDecode, and no decode begins after close. The last user releases the buffer: users
// counts them and reaches 0 once.
type callRequest struct {
	buf         *buffer
	begin, size uint32      // of the message in buf
	decoded     atomic.Bool // at least once

	// users is heldByCall until close, plus heldByDecode for each decode that runs.
	users atomic.Int32
}

const (
	heldByCall   = 1
	heldByDecode = 2
)

// init takes over buf, in which the message ends at end.
func (r *callRequest) init(buf *buffer, size, end int) {
	r.buf, r.begin, r.size = buf, uint32(end-size), uint32(size)
	r.users.Store(heldByCall)
}

// payload returns the message. The caller is a user of the buffer.
func (r *callRequest) payload() []byte { return r.buf.bytes()[r.begin:][:r.size] }

// beginDecode keeps the payload valid until endDecode and returns true, or returns false after
// close.
func (r *callRequest) beginDecode() bool {
	for {
		users := r.users.Load()
		if users&heldByCall == 0 {
			return false
		}
		if r.users.CompareAndSwap(users, users+heldByDecode) {
			return true
		}
	}
}

// endDecode ends the use that beginDecode began.
func (r *callRequest) endDecode() {
	r.decoded.Store(true)
	r.freeUnused(r.users.Add(-heldByDecode))
}

// lateRequestLength is the length of the longest request that streamEnded keeps. Long
// requests of peers that keep reconnecting would add up.
const lateRequestLength = 64 << 10

// streamEnded closes the request of a stream that has ended while the handler runs. For
// slowConsumerLimit the handler may still decode a short request that it has not decoded
// before: a client that sends a request and leaves at once is served, as by releases.
func (r *callRequest) streamEnded() {
	switch {
	case r.users.Load()&heldByCall == 0: // the handler has returned
	case r.decoded.Load() || r.size > lateRequestLength:
		r.close()
	default:
		time.AfterFunc(slowConsumerLimit, r.close)
	}
}

// close ends the use by the call. Any goroutine may call close, several times.
func (r *callRequest) close() {
	for {
		users := r.users.Load()
		if users&heldByCall == 0 {
			return
		}
		if r.users.CompareAndSwap(users, users-heldByCall) {
			r.freeUnused(users - heldByCall)
			return
		}
	}
}

// freeUnused releases the buffer if no users are left.
func (r *callRequest) freeUnused(users int32) {
	if users > 0 {
		return
	}
	r.buf.release()
	r.buf = nil // the call stays in memory if the handler keeps its context
}
