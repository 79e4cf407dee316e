// Command ttrpc-v1.0.2 is a peer of the benchmark: ttrpc v1.0.2, which has gogo messages.
package main

import (
	echopb "github.com/containerd/ttrpc/bench/messages/gogo"
	"github.com/containerd/ttrpc/bench/stubs/unary"
	"github.com/containerd/ttrpc/bench/workload"
)

func main() {
	workload.Main(unary.Peer(unary.Messages[echopb.Echo]{
		New:     func(payload []byte) *echopb.Echo { return &echopb.Echo{Payload: payload} },
		Payload: (*echopb.Echo).GetPayload,
	}))
}
