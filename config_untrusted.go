package ttrpc

// The limits of WithServerUntrustedPeers. README.md and doc.go have them, and the
// memory that they come to. One user has fewer calls than the server, so that no user
// can take them all while handlers end with their contexts: untrustedConnsPerUID * untrustedCalls < untrustedHandlers.
const (
	untrustedCalls       = 100
	untrustedHandlers    = 1000
	untrustedConns       = 128
	untrustedConnsPerUID = 8
	untrustedMetadata    = 64 << 10
)

var untrustedConnConfig = connConfig{
	maxLength: 1 << 20,
	maxQueued: 1 << 20,
	maxInbox:  1 << 20,
}

// WithServerUntrustedPeers sets limits for a server whose peers are not trusted, such
// as a daemon with privileges that serves users:
//
//	calls at once on a connection           100      WithServerMaxCalls
//	calls at once on the server             1000     WithServerMaxHandlers
//	connections, and of each uid            128, 8   WithServerMaxConns
//	bytes of a message                      1 MiB    Limits.MaxMessageLength
//	bytes that wait in a stream             1 MiB    Limits.MaxStreamBuffer
//	bytes that wait to be written           1 MiB    Limits.MaxPendingWrite
//	bytes of a call's metadata              64 KiB   WithServerMaxMetadata
//
// and handlers have goroutines of their own (WithServerGoroutinePerCall). It replaces
// options before it; each of these limits can be set by its own option after it. The
// section on limits in the package documentation says how much memory that is. It does
// not say who may connect: that is up to the socket's place and to
// WithServerHandshaker. (Not in released versions.)
func WithServerUntrustedPeers() ServerOpt {
	return func(c *serverConfig) error {
		c.conn, c.connDefaults = untrustedConnConfig, untrustedConnConfig
		c.maxCalls = untrustedCalls
		c.maxHandlers = untrustedHandlers
		c.maxConns = connLimits{total: untrustedConns, perUID: untrustedConnsPerUID}
		c.maxMetadata = untrustedMetadata
		c.goroutinePerCall = true
		return nil
	}
}
