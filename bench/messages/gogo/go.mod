module github.com/containerd/ttrpc/bench/messages/gogo

go 1.26.0

require github.com/gogo/protobuf v1.3.2
