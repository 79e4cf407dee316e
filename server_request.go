package ttrpc

import (
	"sync/atomic"
	"time"
)

// A callRequest is the request of a unary call on a server: the buffer of its frame and the
// message in it.
//
// The buffer belongs to the call and to the decodes that run. The call gives it up by
// close: when its handler has returned, or after the end of its stream, so that nothing
// is kept of an ended connection for handlers that go on. A decode has
// the buffer from beginDecode to endDecode, and none begins after close. The last of all
// these puts the buffer back: users counts them, and reaches 0 once.
type callRequest struct {
	buf     *buffer
	payload []byte      // the message, in buf
	decoded atomic.Bool // at least once
	short   bool        // see lateRequestLength

	// users is heldByCall until close, plus heldByDecode for each decode that runs.
	users atomic.Int32
}

const (
	heldByCall   = 1
	heldByDecode = 2
)

// init takes over buf; payload points into it.
func (r *callRequest) init(buf *buffer, payload []byte) {
	r.buf, r.payload, r.short = buf, payload, len(payload) <= lateRequestLength
	r.users.Store(heldByCall)
}

// beginDecode keeps payload valid until endDecode and returns true, or returns false after
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

// lateRequestLength is the length of the longest request that streamEnded keeps: the
// requests of peers that reconnect without pause must not add up.
const lateRequestLength = 64 << 10

// streamEnded closes the request of a stream that has ended while the handler runs. The
// handler may still decode a short request for slowConsumerLimit, unless it has decoded it
// before: a client that sends a request and leaves at once is served, as by releases.
func (r *callRequest) streamEnded() {
	switch {
	case r.users.Load()&heldByCall == 0: // the handler has returned
	case r.decoded.Load() || !r.short:
		r.close()
	default:
		time.AfterFunc(slowConsumerLimit, r.close)
	}
}

// close gives up the call's hold. It may be called several times, by any goroutine.
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

// freeUnused puts the buffer back when no users are left: the caller is the last.
func (r *callRequest) freeUnused(users int32) {
	if users > 0 {
		return
	}
	r.buf.release()
	r.buf, r.payload = nil, nil // a handler may keep its context, and the call with it
}
