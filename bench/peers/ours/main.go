// Command ours is a peer of the benchmark: this checkout's ttrpc with protobuf-go messages.
package main

import (
	echopb "github.com/containerd/ttrpc/bench/messages/pb"
	"github.com/containerd/ttrpc/bench/stubs/stream"
	"github.com/containerd/ttrpc/bench/stubs/unary"
	"github.com/containerd/ttrpc/bench/workload"
)

func main() {
	workload.Main(stream.Peer(unary.Messages[echopb.Echo]{
		New:     func(payload []byte) *echopb.Echo { return &echopb.Echo{Payload: payload} },
		Payload: (*echopb.Echo).GetPayload,
	}))
}
