package ttrpc

import (
	"math"
	"net"

	"golang.org/x/sys/unix"
)

// socketUID returns the uid of the peer of a Unix socket (SO_PEERCRED).
func socketUID(nc net.Conn) connUID {
	ucred, err := peerCredentials(nc)
	if err != nil {
		return connUID{}
	}
	return uidOfPeer(ucred)
}

// uidOfPeer returns the uid in the second result of a handshaker, if that is a
// *unix.Ucred, as for UnixCredentialsFunc.
func uidOfPeer(peer any) connUID {
	ucred, ok := peer.(*unix.Ucred)
	if !ok || ucred == nil || ucred.Uid == math.MaxUint32 { // the kernel's value for no uid
		return connUID{}
	}
	return connUID{id: ucred.Uid, known: true}
}
