module github.com/containerd/ttrpc/interop

go 1.21
