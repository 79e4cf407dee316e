module github.com/containerd/ttrpc/hostile/victim

go 1.21

require (
	github.com/containerd/ttrpc v1.2.7
	google.golang.org/protobuf v1.33.0
)

require (
	github.com/golang/protobuf v1.5.3 // indirect
	golang.org/x/sys v0.18.0 // indirect
	google.golang.org/genproto/googleapis/rpc v0.0.0-20230711160842-782d3b101e98 // indirect
	google.golang.org/grpc v1.57.1 // indirect
)

replace github.com/containerd/ttrpc => ../..
