package ttrpc

import (
	"context"

	"golang.org/x/sys/unix"
)

// UnixCredentials returns the credentials of the peer of a handler's call, as the kernel
// had them when it connected (SO_PEERCRED in unix(7)). ok is false unless the server has
// WithServerHandshaker with a UnixCredentialsFunc, such as UnixSocketRequireSameUser, and
// outside of a handler. The value is shared by all calls of the connection: it is for
// reading only. It exists on Linux alone. (Not in released versions.)
func UnixCredentials(ctx context.Context) (ucred *unix.Ucred, ok bool) {
	peer, _ := PeerFromContext(ctx)
	ucred, ok = peer.(*unix.Ucred)
	return ucred, ok && ucred != nil
}
