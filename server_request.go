package ttrpc

import "sync/atomic"

// A callRequest is the request of a unary call on a server: the buffer of its frame,
// and the message in it.
//
// The buffer belongs to the call and to the decodes that run. The call gives it up by
// close, when its handler has returned or its stream has ended, whichever comes first:
// after the end of a connection nothing is kept for handlers that go on. A decode has
// the buffer from acquire to release, and none begins after close. The last of all
// these puts the buffer back: users counts them, and reaches 0 once.
type callRequest struct {
	buf     *buffer
	payload []byte // the message, in buf

	// users is heldByCall until close, plus heldByDecode for each decode that runs.
	users atomic.Int32
}

const (
	heldByCall   = 1
	heldByDecode = 2
)

// init takes over buf, into which payload points.
func (r *callRequest) init(buf *buffer, payload []byte) {
	r.buf, r.payload = buf, payload
	r.users.Store(heldByCall)
}

// acquire keeps payload valid until release. It reports whether it is: false after
// close.
func (r *callRequest) acquire() bool {
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

// release ends what acquire began.
func (r *callRequest) release() { r.freeUnused(r.users.Add(-heldByDecode)) }

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
