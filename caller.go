package ttrpc

import "context"

// A Caller makes calls; *Client implements it. The clients of code generated with the
// option client=interface take a Caller, so that a program can use a type of its own, for
// example one that reconnects or has several connections. The methods keep the contracts
// of Client.Call and Client.NewStream; any number of goroutines may call them at once. No
// method will be added to the interface. (Not in released versions.)
type Caller interface {
	Call(ctx context.Context, service, method string, req, resp any) error
	NewStream(ctx context.Context, desc *StreamDesc, service, method string, req any) (ClientStream, error)
}

var _ Caller = (*Client)(nil)
