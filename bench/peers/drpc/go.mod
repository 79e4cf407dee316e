module github.com/containerd/ttrpc/bench/peers/drpc

go 1.26.0

require (
	github.com/containerd/ttrpc/bench v0.0.0
	github.com/containerd/ttrpc/bench/messages/pb v0.0.0
	google.golang.org/protobuf v1.36.12
	storj.io/drpc v1.0.0
)

require github.com/zeebo/errs v1.2.2 // indirect

replace (
	github.com/containerd/ttrpc/bench => ../..
	github.com/containerd/ttrpc/bench/messages/pb => ../../messages/pb
)
