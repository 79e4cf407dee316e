module github.com/containerd/ttrpc/e2e

go 1.25.0
