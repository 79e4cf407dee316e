//go:build !linux

package main

import (
	"context"

	"github.com/containerd/ttrpc"
)

// handshake returns no options: UnixCredentialsFunc exists only on Linux.
func handshake() []ttrpc.ServerOpt { return nil }

func describePeer(context.Context) string { return "a peer" }
