module github.com/containerd/ttrpc/internal/gentest/genproto2020

go 1.21

require (
	github.com/containerd/ttrpc v1.1.2
	github.com/gogo/protobuf v1.3.2
	google.golang.org/genproto v0.0.0-20230822172742-b8732ec3820d
	google.golang.org/grpc v1.57.1
	google.golang.org/protobuf v1.33.0
)

require (
	github.com/containerd/typeurl v1.0.2 // indirect
	github.com/golang/protobuf v1.5.3 // indirect
	github.com/pkg/errors v0.9.1 // indirect
	golang.org/x/sys v0.18.0 // indirect
)

replace (
	github.com/containerd/ttrpc => ../../..
	google.golang.org/genproto => google.golang.org/genproto v0.0.0-20200224152610-e50cd9704f63
)

replace google.golang.org/grpc => google.golang.org/grpc v1.27.1
