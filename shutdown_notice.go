package ttrpc

import "context"

type shutdownKey struct{}

// ShutdownNotice returns a channel that is closed when Shutdown or Close of the server
// begins. ctx is the context of a handler, or derived from one. Shutdown waits for running
// handlers: the handler of a long stream should end the stream at the notice, with a status
// or a last message. The context itself ends with the call, not with the notice. Clients
// with extensions get a notice, too: see Client.Draining.
//
// Outside of a handler the channel is nil, which is never ready in a select. All handlers
// of a server share one channel. (Not in released versions.)
func ShutdownNotice(ctx context.Context) <-chan struct{} {
	notice, _ := ctx.Value(shutdownKey{}).(<-chan struct{})
	return notice
}
