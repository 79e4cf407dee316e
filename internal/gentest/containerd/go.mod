module github.com/containerd/ttrpc/internal/gentest/containerd

go 1.26.0

require (
	github.com/containerd/containerd/api v1.12.0
	github.com/containerd/ttrpc/tools/protogen v0.0.0
	golang.org/x/exp v0.0.0-20261014143641-f0251eb4aa3e
	golang.org/x/tools v0.52.0
)

require (
	github.com/bufbuild/protocompile v0.14.1 // indirect
	github.com/containerd/ttrpc v1.2.9 // indirect
	github.com/opencontainers/go-digest v1.0.0 // indirect
	github.com/opencontainers/image-spec v1.1.1 // indirect
	golang.org/x/mod v0.42.0 // indirect
	golang.org/x/net v0.61.0 // indirect
	golang.org/x/sync v0.24.0 // indirect
	golang.org/x/sys v0.49.0 // indirect
	golang.org/x/text v0.43.0 // indirect
	google.golang.org/genproto/googleapis/rpc v0.0.0-20260226221140-a57be14db171 // indirect
	google.golang.org/grpc v1.81.1 // indirect
	google.golang.org/protobuf v1.36.11 // indirect
)

replace (
	github.com/containerd/ttrpc => ../../..
	github.com/containerd/ttrpc/tools/protogen => ../../../tools/protogen
)
