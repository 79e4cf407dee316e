module github.com/containerd/ttrpc/bench/messages/pb

go 1.26.0

require google.golang.org/protobuf v1.36.12
