module github.com/containerd/ttrpc/bench

go 1.26.0
