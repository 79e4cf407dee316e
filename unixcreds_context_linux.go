package ttrpc

import (
	"context"

	"golang.org/x/sys/unix"
)

// UnixCredentials returns the credentials that the peer of a call had when it connected
// (SO_PEERCRED in unix(7)); ctx is the handler's context, or derived from it. ok is false
// outside of a handler, and if the server has no WithServerHandshaker with a
// UnixCredentialsFunc, such as UnixSocketRequireSameUser. All calls of the connection share
// the value, which must not be changed. The function exists only on Linux. (Not in released
// versions.)
func UnixCredentials(ctx context.Context) (ucred *unix.Ucred, ok bool) {
	peer, _ := PeerFromContext(ctx)
	ucred, ok = peer.(*unix.Ucred)
	return ucred, ok && ucred != nil
}
