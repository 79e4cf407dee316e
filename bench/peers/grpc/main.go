// Command grpc is a peer of the benchmark: grpc-go with its default options, and
// stubs in the shape of generated ones.
package main

import "github.com/containerd/ttrpc/bench/workload"

const service = "/ttrpc.bench.Bench/"

func main() {
	workload.Main(workload.Peer{Serve: serve, Dial: dial})
}
