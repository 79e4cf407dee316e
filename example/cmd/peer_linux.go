package main

import (
	"context"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/containerd/ttrpc"
)

// handshake refuses peers of other users than this process's. The
// credentials of the peer are there for its calls: see describePeer.
func handshake() []ttrpc.ServerOpt {
	return []ttrpc.ServerOpt{ttrpc.WithServerHandshaker(ttrpc.UnixSocketRequireSameUser())}
}

// describePeer describes the caller of the call whose context this is.
func describePeer(ctx context.Context) string {
	peer, _ := ttrpc.PeerFromContext(ctx)
	cred, ok := peer.(*unix.Ucred)
	if !ok {
		return "an unknown peer"
	}
	return fmt.Sprintf("pid %d, uid %d, gid %d", cred.Pid, cred.Uid, cred.Gid)
}
