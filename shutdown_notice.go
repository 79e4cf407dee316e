package ttrpc

import "context"

type shutdownKey struct{}

// ShutdownNotice returns a channel that is closed when Shutdown or Close of the server
// begins whose handler has ctx, or a context derived from it. Shutdown waits for that
// handler: one of a long stream ends it then, with a status or a last message. The
// context itself ends with the call, not with the notice. The client is told nothing.
//
// Outside of a handler the channel is nil, which is never ready in a select. It costs
// nothing: all handlers of a server share one channel. (Not in released versions.)
func ShutdownNotice(ctx context.Context) <-chan struct{} {
	notice, _ := ctx.Value(shutdownKey{}).(<-chan struct{})
	return notice
}
