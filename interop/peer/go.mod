module github.com/containerd/ttrpc/interop/peer

go 1.21

require (
	github.com/containerd/ttrpc v1.2.7
	github.com/gogo/protobuf v1.3.2
	github.com/golang/protobuf v1.5.3
	google.golang.org/genproto/googleapis/rpc v0.0.0-20230711160842-782d3b101e98
	google.golang.org/grpc v1.57.1
	google.golang.org/protobuf v1.33.0
)

require golang.org/x/sys v0.18.0 // indirect

replace github.com/containerd/ttrpc => ../..
