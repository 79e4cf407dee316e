module github.com/containerd/ttrpc/hostile

go 1.21
