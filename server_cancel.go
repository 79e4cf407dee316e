package ttrpc

import (
	"context"
	"errors"
	"fmt"
)

// This file is calls whose clients have given up: PROTOCOL.md, section "Cancel".

// CancelMode says which handlers' contexts end when the client gives up on the call. (Not
// in released versions.)
type CancelMode uint8

const (
	// CancelNone ends no context. The handler goes on as with a client that cannot tell:
	// SendMsg drops its messages, and RecvMsg returns the messages that have come and
	// then context.Canceled.
	CancelNone CancelMode = iota

	// CancelStreams ends the contexts of streams alone: the default.
	CancelStreams

	// CancelAll ends those of unary calls, too.
	CancelAll
)

func (cm CancelMode) String() string {
	switch cm {
	case CancelNone:
		return "CancelNone"
	case CancelStreams:
		return "CancelStreams"
	case CancelAll:
		return "CancelAll"
	}
	return fmt.Sprintf("CancelMode(%d)", uint8(cm))
}

// WithServerCancellation says which handlers' contexts end, with context.Canceled, when
// the client gives up: the caller's context has ended, or the client has failed the
// stream. The default is CancelStreams. A unary handler that was never interrupted may
// leave something half-done behind, and no released version has ever told it; one that
// wants to know asks ClientGone. In every mode nothing more is sent for such a call, and
// it counts for limits and for Shutdown until its handler returns. Clients that do not
// take part in extensions do not tell, and nothing changes for their calls. (Not in
// released versions.)
func WithServerCancellation(m CancelMode) ServerOpt {
	return func(c *serverConfig) error {
		if m > CancelAll {
			return errors.New("ttrpc: unknown cancellation mode " + m.String())
		}
		c.cancellation = m
		return nil
	}
}

// ends reports whether the context of a call ends when its client gives up.
func (cm CancelMode) ends(unary bool) bool {
	return cm == CancelAll || cm == CancelStreams && !unary
}

type clientGoneKey struct{}

// ClientGone returns a channel that is closed when the answer of the handler that has
// ctx, or a context derived from it, is of no use any more: the caller has given up, the
// connection has ended, or the call is over. It tells in any mode of
// WithServerCancellation, of callers whose clients take part in extensions.
//
// Outside of a handler the channel is nil, which is never ready in a select. (Not in
// released versions.)
func ClientGone(ctx context.Context) <-chan struct{} {
	gone, _ := ctx.Value(clientGoneKey{}).(<-chan struct{})
	return gone
}

// errCallerGone is the error of senders on a stream whose client has given up, and the cause
// of the end of the handler's context.
var errCallerGone = fmt.Errorf("ttrpc: the client has given up: %w", context.Canceled)

// takeCancel handles a cancel frame. The stream stays in the table until its handler
// returns. A stream that is not known has ended in the meantime.
func (sc *serverConn) takeCancel(can cancellation) {
	st := sc.lookup(can.id)
	if st == nil {
		return
	}
	ends := sc.server.cfg.cancellation.ends(st.unary())
	st.leaveCaller(ends)
	if ends {
		st.ctx.cancel(errCallerGone)
	}
}

// leaveCaller ends sending, and receiving after the messages that have come. These are
// dropped if the handler's context ends, unless the client has sent its last: a client that
// sends, closes its side and leaves may have meant them all.
func (st *stream) leaveCaller(discard bool) {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.closeSendLocked(errCallerGone)
	if discard && !st.peerClosed {
		st.inbox.discard(context.Canceled)
	} else {
		st.inbox.close(context.Canceled)
	}
	if st.wake != nil { // of a stream
		st.signal()
	}
}

// callerGone reports whether the client has given up on the stream.
func (st *stream) callerGone() bool { return st.sendError() == errCallerGone }
