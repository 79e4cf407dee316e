package ttrpc

import (
	"context"
	"sync/atomic"
	"time"
)

// callContext is the context of a handler. It ends when the handler returns, when the
// connection ends, at the call's deadline, and with the context given to Serve.
//
// A callContext is part of the call's one allocation; a context of package context costs
// several. Such a standard context is made at its first use: when the handler waits,
// derives a context or asks for the cause. Most handlers do none of these.
//
// A goroutine of the handler that keeps the context also keeps the call in memory, but not
// the request, which serverCall.free has released by then.
type callContext struct {
	md       MD          // the call's metadata, nil for none
	call     *serverCall // the owner
	deadline time.Time   // zero for none

	// standard is nil until its first use or the end of the context. After that it
	// changes at most once, at the end: see cancel.
	standard atomic.Pointer[standardContext]
}

// A standardContext is the context of package context that works for a callContext.
type standardContext struct {
	context.Context

	// One of these functions ends the context. A context with a deadline takes no cause.
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

// canceledContext and expiredContext are the standard contexts of calls that ended before
// the first use. All such calls share them: the contexts have ended, and their values are
// not used.
var (
	canceledContext = newEndedContext(context.WithCancel(context.Background()))
	expiredContext  = newEndedContext(context.WithDeadline(context.Background(), time.Time{}))
)

// canceledBecause returns a cancelled context with the cause, canceledContext for nil.
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

// serving returns the Serve whose ctx is the parent.
func (cc *callContext) serving() *serving { return cc.call.sc.serving }

// Deadline returns the call's deadline, or that of Serve's context if it is earlier.
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
		return nil // not the metadata of Serve's context
	case peerKey:
		return cc.call.sc.peer
	case callKey:
		return cc.call
	case clientGoneKey:
		return cc.call.stream.senderDone()
	case shutdownKey:
		return (<-chan struct{})(cc.serving().server.stopped)
	case *int:
		// Package context finds the cancellable parent of a context by a key of this
		// type, and must not find Serve's context.
		if v := cc.look().Value(key); v != nil {
			return v
		}
	}
	return cc.serving().ctx.Value(key)
}

// look returns the standard context. The first call makes it.
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

// settle makes s the standard context unless there is one. It returns the standard context.
func (cc *callContext) settle(s *standardContext) *standardContext {
	if cc.standard.CompareAndSwap(nil, s) {
		return s
	}
	return cc.standard.Load()
}

// endedContext returns the standard context of a callContext that ended before its first
// use, and nil if it has not ended. The deadline comes first: the end of Serve's context is
// recorded at once (serving.tellCalls).
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

// cancel ends the context for a cause, unless it has ended; nil stands for
// context.Canceled. It runs only code of package context.
//
// A context with a deadline takes no cause, and a second context, which takes one, would
// cost every call with a deadline. Instead, cancel replaces the standard context by an
// ended one: the handler's context and contexts derived from it later have the cause,
// contexts derived earlier do not.
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

// String describes the context, as the contexts of package context do.
func (cc *callContext) String() string { return "ttrpc.callContext" }

type peerKey struct{}

// PeerFromContext returns the result of the server's Handshaker for the connection of a
// call; ctx is the handler's context, or derived from it. After a UnixCredentialsFunc,
// which exists only on Linux, the result is a *unix.Ucred: see UnixCredentials. ok is
// false outside of a handler and if the handshaker returned nil or there is none. (Not in
// released versions.)
func PeerFromContext(ctx context.Context) (peer any, ok bool) {
	peer = ctx.Value(peerKey{})
	return peer, peer != nil
}
