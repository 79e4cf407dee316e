package ttrpc

import (
	"context"
	"net"
)

// Handshaker admits or refuses a connection before it is used, and may replace
// it.
type Handshaker interface {
	// Handshake is called once for each connection, each on a goroutine of
	// its own. An error refuses the connection, which is then closed.
	// Otherwise the returned connection is used in place of conn, and the
	// second value, such as the credentials of the peer, is what
	// PeerFromContext returns in the handlers of its calls.
	//
	// ctx ends when Handshake returns. It ends before, and the connection is
	// closed and forgotten, when the time for handshakes is over
	// (WithServerHandshakeTimeout) or the server is closed. Nobody can end a
	// handshaker that heeds neither: its goroutine stays until it returns,
	// and a connection that it returns then is closed.
	Handshake(ctx context.Context, conn net.Conn) (net.Conn, any, error)
}
