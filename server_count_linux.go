package ttrpc

import (
	"math"
	"net"

	"golang.org/x/sys/unix"
)

// socketUID returns the user who connected a unix socket (SO_PEERCRED).
func socketUID(nc net.Conn) connUID {
	ucred, err := peerCredentials(nc)
	if err != nil {
		return connUID{}
	}
	return uidOfPeer(ucred)
}

// uidOfPeer returns the user that a handshaker found out, as UnixCredentialsFunc does.
func uidOfPeer(peer any) connUID {
	ucred, ok := peer.(*unix.Ucred)
	if !ok || ucred == nil || ucred.Uid == math.MaxUint32 { // the kernel's word for none
		return connUID{}
	}
	return connUID{id: ucred.Uid, known: true}
}
