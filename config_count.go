package ttrpc

import (
	"errors"
	"fmt"
)

// WithServerMaxHandlers limits how many calls and streams may run at once on all
// connections of the server together. One more is answered with ResourceExhausted at
// once. A call counts as for WithServerMaxCalls, until its handler has returned and its
// response is queued, and so it does after the end of its connection. By default there
// is no limit. (Not in released versions.)
func WithServerMaxHandlers(n int) ServerOpt {
	return func(c *serverConfig) error {
		if n < 1 {
			return fmt.Errorf("ttrpc: maximum of handlers %d is not positive", n)
		}
		c.maxHandlers = n
		return nil
	}
}

// WithServerMaxConns limits how many connections the server has at once: total of
// them, and perUID of each user. 0 is no limit, as by default. One more is closed as
// soon as it is accepted, with a line in the log. A connection counts from then to its
// end, its handshake included.
//
// The user is the uid in the credentials that the handshaker has returned (*unix.Ucred,
// as UnixCredentialsFunc returns them), or else that of the socket, which is known on
// Linux, of unix sockets that the listener returns as they are (SO_PEERCRED in unix(7)).
// Where no uid is known, perUID does not apply. Users whom the server's user
// namespace does not map have one uid, and count together. (Not in released versions.)
func WithServerMaxConns(total, perUID int) ServerOpt {
	return func(c *serverConfig) error {
		if total < 0 || perUID < 0 {
			return errors.New("ttrpc: a maximum of connections is negative")
		}
		c.maxConns = connLimits{total: total, perUID: perUID}
		return nil
	}
}
