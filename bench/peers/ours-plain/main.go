// Command ours-plain is the peer ours with extensions switched off, to measure their cost.
package main

import (
	"github.com/containerd/ttrpc"
	echopb "github.com/containerd/ttrpc/bench/messages/pb"
	"github.com/containerd/ttrpc/bench/stubs/stream"
	"github.com/containerd/ttrpc/bench/stubs/unary"
	"github.com/containerd/ttrpc/bench/workload"
)

func main() {
	unary.ServerOptions = append(unary.ServerOptions, ttrpc.WithServerExtensions(false))
	unary.ClientOptions = append(unary.ClientOptions, ttrpc.WithClientExtensions(false))
	workload.Main(stream.Peer(unary.Messages[echopb.Echo]{
		New:     func(payload []byte) *echopb.Echo { return &echopb.Echo{Payload: payload} },
		Payload: (*echopb.Echo).GetPayload,
	}))
}
