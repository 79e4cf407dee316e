package ttrpc

import (
	"errors"
	"fmt"
)

// WithServerMaxHandlers limits the number of calls and streams that run at once on all
// connections of the server together. The server answers any further call with
// ResourceExhausted immediately. As with WithServerMaxCalls, a call counts until its
// handler has returned and its response is queued, even after the end of its connection.
// By default there is no limit. NewServer fails if n is not positive. (Not in released
// versions.)
func WithServerMaxHandlers(n int) ServerOpt {
	return func(c *serverConfig) error {
		if n < 1 {
			return fmt.Errorf("ttrpc: maximum of handlers %d is not positive", n)
		}
		c.maxHandlers = n
		return nil
	}
}

// WithServerMaxConns limits the number of connections that the server has at once: to
// total for all users together, and to perUID for each user. 0, the default, means no
// limit. The server closes any further connection as soon as it is accepted and logs a
// line. A connection counts from its accept to its end, including its handshake.
// NewServer fails if a limit is negative.
//
// The user is the uid in the credentials that the handshaker returned (*unix.Ucred, as
// UnixCredentialsFunc does), or else the uid of the socket's peer (SO_PEERCRED in
// unix(7)), which is known on Linux for Unix sockets that the listener does not wrap.
// Without a uid, perUID does not apply. Users that the server's user namespace does not
// map share one uid and count together. (Not in released versions.)
func WithServerMaxConns(total, perUID int) ServerOpt {
	return func(c *serverConfig) error {
		if total < 0 || perUID < 0 {
			return errors.New("ttrpc: a maximum of connections is negative")
		}
		c.maxConns = connLimits{total: total, perUID: perUID}
		return nil
	}
}
