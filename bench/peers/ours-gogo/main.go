// Command ours-gogo is a peer of the benchmark: this checkout's ttrpc with gogo messages.
package main

import (
	echopb "github.com/containerd/ttrpc/bench/messages/gogo"
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
