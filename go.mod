module github.com/containerd/ttrpc

go 1.21

require (
	github.com/gogo/protobuf v1.3.2
	google.golang.org/genproto/googleapis/rpc v0.0.0-20230711160842-782d3b101e98
	google.golang.org/protobuf v1.33.0
)
