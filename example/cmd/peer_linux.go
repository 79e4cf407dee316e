package main

import (
	"context"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/containerd/ttrpc"
)

// handshake returns the option that refuses peers of other users than the user of this
// process. Handlers can ask for the credentials of the peer: see describePeer.
func handshake() []ttrpc.ServerOpt {
	return []ttrpc.ServerOpt{ttrpc.WithServerHandshaker(ttrpc.UnixSocketRequireSameUser())}
}

// describePeer describes the caller of a handler's call.
func describePeer(ctx context.Context) string {
	peer, _ := ttrpc.PeerFromContext(ctx)
	cred, ok := peer.(*unix.Ucred)
	if !ok {
		return "an unknown peer"
	}
	return fmt.Sprintf("pid %d, uid %d, gid %d", cred.Pid, cred.Uid, cred.Gid)
}
