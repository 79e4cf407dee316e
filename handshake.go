package ttrpc

import (
	"context"
	"net"
)

// Handshaker admits or refuses a connection before the server uses it, and may replace
// the connection, for example by one with TLS.
type Handshaker interface {
	// Handshake is called once for each connection, each time on its own goroutine. An
	// error refuses the connection, and the server closes it. Otherwise the server uses
	// the returned connection instead of conn, and PeerFromContext returns the second
	// value, such as the credentials of the peer, to the handlers of its calls.
	//
	// ctx ends when Handshake returns. It ends early, and the server closes and forgets
	// the connection, at the limit of WithServerHandshakeTimeout and when the server is
	// closed. If Handshake ignores both ctx and the closed connection, its goroutine
	// stays until it returns; the server closes a connection that it returns so late.
	Handshake(ctx context.Context, conn net.Conn) (net.Conn, any, error)
}
