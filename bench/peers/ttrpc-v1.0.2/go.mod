module github.com/containerd/ttrpc/bench/peers/ttrpc-v1.0.2

go 1.26.0

require (
	github.com/containerd/ttrpc v1.0.2
	github.com/containerd/ttrpc/bench v0.0.0
	github.com/containerd/ttrpc/bench/messages/gogo v0.0.0
	github.com/containerd/ttrpc/bench/stubs/unary v0.0.0
)

require (
	github.com/gogo/protobuf v1.3.2 // indirect
	github.com/golang/protobuf v1.3.2 // indirect
	github.com/konsorten/go-windows-terminal-sequences v1.0.2 // indirect
	github.com/pkg/errors v0.9.1 // indirect
	github.com/sirupsen/logrus v1.4.2 // indirect
	golang.org/x/sys v0.0.0-20200930185726-fdedc70b468f // indirect
	google.golang.org/genproto v0.0.0-20200117163144-32f20d992d24 // indirect
	google.golang.org/grpc v1.26.0 // indirect
)

replace (
	github.com/containerd/ttrpc/bench => ../..
	github.com/containerd/ttrpc/bench/messages/gogo => ../../messages/gogo
	github.com/containerd/ttrpc/bench/stubs/unary => ../../stubs/unary
)
