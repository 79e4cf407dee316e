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
	md       MD          // the call's metadata, nil for none
	call     *serverCall // whose context it is
	deadline time.Time   // zero for none

	// standard is nil until somebody looks, or the context has ended; then it changes
	// once at most, at the end: see cancel.
	standard atomic.Pointer[standardContext]
}

// A standardContext is one of package context that a callContext is like.
type standardContext struct {
	context.Context

	// One of these ends it. A context with a deadline takes no cause.
	cancel      context.CancelFunc
	cancelCause context.CancelCauseFunc
}

func (sx *standardContext) end(cause error) {
	if sx.cancelCause != nil {
		sx.cancelCause(cause)
	} else {
		sx.cancel()
	}
}

// canceledContext and expiredContext are those of calls that ended before anybody
// looked. They are the same for all: they have ended, and their values are not used.
var (
	canceledContext = newEndedContext(context.WithCancel(context.Background()))
	expiredContext  = newEndedContext(context.WithDeadline(context.Background(), time.Time{}))
)

// canceledBecause returns canceledContext, or one with a cause.
func canceledBecause(cause error) *standardContext {
	if cause == nil {
		return canceledContext
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(cause)
	return &standardContext{Context: ctx, cancelCause: cancel}
}

func newEndedContext(ctx context.Context, cancel context.CancelFunc) *standardContext {
	cancel()
	return &standardContext{Context: ctx, cancel: cancel}
}

// serving is the Serve whose ctx is the parent.
func (cc *callContext) serving() *serving { return cc.call.sc.serving }

// Deadline is the call's own, or that of Serve's context when it is earlier.
func (cc *callContext) Deadline() (time.Time, bool) {
	parent, ok := cc.serving().ctx.Deadline()
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
		return cc.call.sc.peer
	case callKey:
		return cc.call
	case clientGoneKey:
		return cc.call.stream.senderDone()
	case shutdownKey:
		return (<-chan struct{})(cc.serving().server.stopped)
	case *int:
		// Package context finds the cancelling of a context by a key of this
		// type. It must not get that of Serve's context.
		if v := cc.look().Value(key); v != nil {
			return v
		}
	}
	return cc.serving().ctx.Value(key)
}

// look returns the standard context, and makes it for the first caller.
func (cc *callContext) look() *standardContext {
	if s := cc.standard.Load(); s != nil {
		return s
	}
	s := new(standardContext)
	if cc.deadline.IsZero() {
		s.Context, s.cancelCause = context.WithCancelCause(cc.serving().ctx)
	} else {
		s.Context, s.cancel = context.WithDeadline(cc.serving().ctx, cc.deadline)
	}
	settled := cc.settle(s)
	if settled != s {
		s.end(nil)
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
	if cc.serving().ctx.Err() != nil {
		return cc.parentContext()
	}
	return nil
}

func (cc *callContext) parentContext() *standardContext {
	return &standardContext{Context: cc.serving().ctx, cancel: func() {}}
}

// cancel ends the context, unless it has ended, for a cause: nil is context.Canceled. It
// runs no code but that of package context.
//
// A context with a deadline takes no cause, and one more that does would cost each call
// that has a deadline. So one that has ended stands in for it from then on: the cause is
// that of the handler's own context, and of contexts derived from it later, but not of
// those that were derived before.
func (cc *callContext) cancel(cause error) {
	s := cc.standard.Load()
	if s == nil {
		s = cc.endedContext()
		if s == nil {
			s = canceledBecause(cause)
		}
		s = cc.settle(s)
	}
	if cause != nil && s.cancelCause == nil && s.Err() == nil {
		cc.standard.CompareAndSwap(s, canceledBecause(cause))
	}
	s.end(cause)
}

// String describes the context as those of package context do.
func (cc *callContext) String() string { return "ttrpc.callContext" }

type peerKey struct{}

// PeerFromContext returns the result of the server's Handshaker (WithServerHandshaker)
// for the connection of a handler's call: for UnixCredentialsFunc, which is
// on Linux alone, a *unix.Ucred with the pid, uid and gid of the peer at the time it
// connected, which UnixCredentials returns as such. ok is false outside of a handler,
// and when there is nothing, as without that option. (Not in released versions.)
func PeerFromContext(ctx context.Context) (peer any, ok bool) {
	peer = ctx.Value(peerKey{})
	return peer, peer != nil
}
