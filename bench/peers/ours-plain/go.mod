module github.com/containerd/ttrpc/bench/peers/ours-plain

go 1.26.0

require (
	github.com/containerd/ttrpc v1.2.10
	github.com/containerd/ttrpc/bench v0.0.0
	github.com/containerd/ttrpc/bench/messages/pb v0.0.0
	github.com/containerd/ttrpc/bench/pipe v0.0.0
	github.com/containerd/ttrpc/bench/stubs/stream v0.0.0
	github.com/containerd/ttrpc/bench/stubs/unary v0.0.0
)

require (
	github.com/Microsoft/go-winio v0.6.2 // indirect
	golang.org/x/sys v0.46.0 // indirect
	google.golang.org/protobuf v1.36.12 // indirect
)

replace (
	github.com/containerd/ttrpc => ../../..
	github.com/containerd/ttrpc/bench => ../..
	github.com/containerd/ttrpc/bench/messages/pb => ../../messages/pb
	github.com/containerd/ttrpc/bench/pipe => ../../pipe
	github.com/containerd/ttrpc/bench/stubs/stream => ../../stubs/stream
	github.com/containerd/ttrpc/bench/stubs/unary => ../../stubs/unary
)

// What v1.2.10 requires: both are measured with the same dependencies.
require (
	google.golang.org/genproto/googleapis/rpc v0.0.0-20260226221140-a57be14db171 // indirect
	google.golang.org/grpc v1.81.1 // indirect
)

// stubs/unary has v1.0.2's requirements, but this module provides packages that
// a later one, which later releases require, has of its own.
exclude google.golang.org/genproto v0.0.0-20200117163144-32f20d992d24
