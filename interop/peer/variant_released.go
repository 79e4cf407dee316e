//go:build !ours

package main

import (
	"net"

	"github.com/containerd/ttrpc"
)

// Releases have no extensions, and so no variants.

var (
	clientOptions []ttrpc.ClientOpts
	serverOptions []ttrpc.ServerOpt
)

func wrapConn(nc net.Conn) net.Conn { return nc }
