module github.com/containerd/ttrpc/bench/peers/raw

go 1.26.0

require github.com/containerd/ttrpc/bench v0.0.0

replace github.com/containerd/ttrpc/bench => ../..
