module github.com/containerd/ttrpc/tools/apidiff

go 1.26.0

require github.com/containerd/ttrpc v0.0.0-20190613183316-1fb3814edf44

require (
	github.com/gogo/protobuf v1.2.1 // indirect
	github.com/golang/protobuf v1.2.0 // indirect
	github.com/pkg/errors v0.9.1 // indirect
	github.com/prometheus/procfs v0.23.0 // indirect
	github.com/sirupsen/logrus v1.10.2 // indirect
	golang.org/x/sync v0.24.0 // indirect
	golang.org/x/sys v0.49.0 // indirect
	google.golang.org/genproto v0.0.0-20180817151627-c66870c02cf8 // indirect
	google.golang.org/grpc v1.20.1 // indirect
)
