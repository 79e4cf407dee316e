package ttrpc

// The limits of WithServerUntrustedPeers. doc.go gives the memory that results. One user
// has fewer calls than the server, so that no user can take them all, as long as handlers
// end with their contexts: untrustedConnsPerUID * untrustedCalls < untrustedHandlers.
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

// WithServerUntrustedPeers sets limits for a server with untrusted peers, such as a
// privileged daemon that serves users:
//
//	calls at once on a connection           100      WithServerMaxCalls
//	calls at once on the server             1000     WithServerMaxHandlers
//	connections, and of each uid            128, 8   WithServerMaxConns
//	bytes of a message                      1 MiB    Limits.MaxMessageLength
//	bytes that wait in a stream             1 MiB    Limits.MaxStreamBuffer
//	bytes that wait to be written           1 MiB    Limits.MaxPendingWrite
//	bytes of a call's metadata              64 KiB   WithServerMaxMetadata
//
// It also runs each handler on its own goroutine (WithServerGoroutinePerCall). It
// overrides these options if they come before it; each of them can override it if it
// comes after. The section on limits in the package documentation gives the memory that
// results. The option admits every peer: restrict access by the permissions of the
// socket's directory or by WithServerHandshaker. (Not in released versions.)
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
