module github.com/containerd/ttrpc/bench/pipe

go 1.26.0

require (
	github.com/Microsoft/go-winio v0.6.2
	github.com/containerd/ttrpc/bench v0.0.0
)

require golang.org/x/sys v0.10.0 // indirect

replace github.com/containerd/ttrpc/bench => ..
