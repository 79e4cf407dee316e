package ttrpc

import "context"

// A Caller makes calls, as a *Client does: the clients of generated code take one when it
// is generated with the option client=interface, so that a client that connects again, or
// one of several connections, fits. The methods keep the contracts of Client.Call and
// Client.NewStream, and may be called from any number of goroutines at once. The
// interface does not grow. (Not in released versions.)
type Caller interface {
	Call(ctx context.Context, service, method string, req, resp any) error
	NewStream(ctx context.Context, desc *StreamDesc, service, method string, req any) (ClientStream, error)
}

var _ Caller = (*Client)(nil)
