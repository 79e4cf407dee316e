module github.com/containerd/ttrpc

go 1.21

require (
	github.com/containerd/typeurl v1.0.2
	github.com/gogo/protobuf v1.3.2
	golang.org/x/sys v0.18.0
	google.golang.org/genproto/googleapis/rpc v0.0.0-20230711160842-782d3b101e98
	google.golang.org/grpc v1.57.1
	google.golang.org/protobuf v1.33.0
)

require (
	github.com/golang/protobuf v1.5.3 // indirect
	github.com/pkg/errors v0.9.1 // indirect
	golang.org/x/net v0.10.0 // indirect
)
