package ttrpc

import (
	"context"
	"errors"
	"fmt"
)

// This file handles calls whose clients have given up: PROTOCOL.md, section "Cancel".

// CancelMode decides which handlers' contexts end when the client gives up on a call. (Not
// in released versions.)
type CancelMode uint8

const (
	// CancelNone ends no context. The handler of a stream goes on: SendMsg drops messages
	// and returns nil, and RecvMsg returns the messages that have arrived and then
	// context.Canceled.
	CancelNone CancelMode = iota

	// CancelStreams ends the contexts of streams, not of unary calls. It is the default.
	CancelStreams

	// CancelAll ends the contexts of streams and of unary calls.
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

// WithServerCancellation decides which handlers' contexts end, with context.Canceled, when
// the client gives up on a call: the caller's context has ended, or the client has failed
// the stream. The default is CancelStreams, because a unary handler that was written for
// releases, which never interrupt it, may leave work half done. A handler in any mode can
// ask ClientGone. In every mode the server sends nothing more for such a call, and the call
// counts for limits and for Shutdown until its handler returns. The option has no effect on
// calls of clients without extensions. (Not in released versions.)
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

// ClientGone returns a channel that is closed when a handler's answer has no receiver any
// more: the caller has given up, the connection has ended, or the call is over. ctx is the
// context of the handler, or derived from it. A caller that gives up closes the channel in
// every mode of WithServerCancellation, if the client has extensions.
//
// Outside of a handler the channel is nil, which is never ready in a select. (Not in
// released versions.)
func ClientGone(ctx context.Context) <-chan struct{} {
	gone, _ := ctx.Value(clientGoneKey{}).(<-chan struct{})
	return gone
}

// errCallerGone is the error of senders on a stream whose client has given up, and the
// cause of the end of the handler's context.
var errCallerGone = fmt.Errorf("ttrpc: the client has given up: %w", context.Canceled)

// takeCancel handles a cancel frame. The stream stays in the table until its handler
// returns. A stream that is not in the table has ended in the meantime.
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

// leaveCaller refuses senders, and closes the inbox: receivers still get the messages that
// have arrived. If discard is set, these are dropped, unless the client has sent its last
// message: a client that sends its messages, closes its side and leaves may have meant them
// all.
func (st *stream) leaveCaller(discard bool) {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.closeSendLocked(errCallerGone)
	if st.unary() {
		return
	}
	if discard && !st.peerClosed {
		st.inbox.discard(context.Canceled)
	} else {
		st.inbox.close(context.Canceled)
	}
	st.signal()
}

// callerGone reports whether the client has given up on the stream.
func (st *stream) callerGone() bool { return st.sendError() == errCallerGone }
