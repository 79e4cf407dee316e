package ttrpc

import (
	"context"
	"sync/atomic"
	"time"
)

// callContext is the context of a handler. It ends when the handler returns,
// when the connection ends, at the call's deadline, and with the context given
// to Serve. It is part of the call's one allocation: a context of package context
// costs several. It has one inside, which does all the work, and which is made when
// somebody looks: waits, derives a context or asks for the cause. Most handlers do
// not.
//
// It outlives the call for as long as the handler's goroutines keep it, and the call
// with it, which has let go of its request by then (serverCall.free).
type callContext struct {
	parent   context.Context // serving.ctx
	md       MD              // the call's metadata, nil for none
	peer     any             // what the handshaker returned for the connection
	deadline time.Time       // zero for none

	// standard is nil until somebody looks, or the context has ended; then it never
	// changes.
	standard atomic.Pointer[standardContext]
}

// A standardContext is one of package context that a callContext is like.
type standardContext struct {
	context.Context
	cancel context.CancelFunc
}

// canceledContext and expiredContext are those of calls that ended before anybody
// looked. They are the same for all: they have ended, and their values are not used.
var (
	canceledContext = newEndedContext(context.WithCancel(context.Background()))
	expiredContext  = newEndedContext(context.WithDeadline(context.Background(), time.Time{}))
)

func newEndedContext(ctx context.Context, cancel context.CancelFunc) *standardContext {
	cancel()
	return &standardContext{Context: ctx, cancel: cancel}
}

// Deadline is the call's own, or that of Serve's context when it is earlier.
func (cc *callContext) Deadline() (time.Time, bool) {
	parent, ok := cc.parent.Deadline()
	if cc.deadline.IsZero() || ok && parent.Before(cc.deadline) {
		return parent, ok
	}
	return cc.deadline, true
}

func (cc *callContext) Done() <-chan struct{} { return cc.look().Done() }

func (cc *callContext) Err() error {
	s := cc.standard.Load()
	if s == nil {
		s = cc.endedContext()
		if s == nil {
			return nil
		}
		s = cc.settle(s)
	}
	return s.Err()
}

func (cc *callContext) Value(key any) any {
	switch key.(type) {
	case metadataKey:
		if cc.md != nil {
			return cc.md
		}
		return nil // not that of Serve's context
	case peerKey:
		return cc.peer
	case *int:
		// Package context finds the cancelling of a context by a key of this
		// type. It must not get that of Serve's context.
		if v := cc.look().Value(key); v != nil {
			return v
		}
	}
	return cc.parent.Value(key)
}

// look returns the standard context, and makes it for the first caller.
func (cc *callContext) look() *standardContext {
	if s := cc.standard.Load(); s != nil {
		return s
	}
	s := new(standardContext)
	if cc.deadline.IsZero() {
		s.Context, s.cancel = context.WithCancel(cc.parent)
	} else {
		s.Context, s.cancel = context.WithDeadline(cc.parent, cc.deadline)
	}
	settled := cc.settle(s)
	if settled != s {
		s.cancel()
	}
	return settled
}

// settle makes s the standard context unless there is one, and returns the one that
// there is.
func (cc *callContext) settle(s *standardContext) *standardContext {
	if cc.standard.CompareAndSwap(nil, s) {
		return s
	}
	return cc.standard.Load()
}

// endedContext returns the standard context of one that has ended by itself, without
// anybody looking; nil if it goes on. The deadline comes first: of the end of Serve's
// context each call is told at once.
func (cc *callContext) endedContext() *standardContext {
	if !cc.deadline.IsZero() && !time.Now().Before(cc.deadline) {
		return expiredContext
	}
	if cc.parent.Err() != nil {
		return cc.parentContext()
	}
	return nil
}

func (cc *callContext) parentContext() *standardContext {
	return &standardContext{Context: cc.parent, cancel: func() {}}
}

// cancel ends the context, unless it has ended. It runs no code but that of package
// context.
func (cc *callContext) cancel() {
	s := cc.standard.Load()
	if s == nil {
		s = cc.endedContext()
		if s == nil {
			s = canceledContext
		}
		s = cc.settle(s)
	}
	s.cancel()
}

// String describes the context as those of package context do.
func (cc *callContext) String() string { return "ttrpc.callContext" }

type peerKey struct{}

// PeerFromContext returns what the server's Handshaker returned for the
// connection that a handler's call came over: for UnixCredentialsFunc a
// *unix.Ucred with the pid, uid and gid of the peer at the time it connected.
// ok is false outside of a handler, and when there is nothing. (Not in released
// versions.)
func PeerFromContext(ctx context.Context) (peer any, ok bool) {
	peer = ctx.Value(peerKey{})
	return peer, peer != nil
}
