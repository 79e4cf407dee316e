module github.com/containerd/ttrpc/consumers

go 1.25.0
