module github.com/containerd/ttrpc/tools/protogen

go 1.24.0

require (
	github.com/bufbuild/protocompile v0.14.1
	google.golang.org/genproto/googleapis/rpc v0.0.0-20230711160842-782d3b101e98
	google.golang.org/protobuf v1.36.6
)

require golang.org/x/sync v0.8.0 // indirect
