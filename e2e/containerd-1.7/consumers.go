//go:build consumers

// Package consumers pins, through go.mod, the programs that e2e builds. It is
// never compiled.
package consumers

import (
	_ "github.com/containerd/containerd/cmd/containerd"
	_ "github.com/containerd/containerd/cmd/containerd-shim-runc-v2"
	_ "github.com/containerd/containerd/cmd/ctr"
)
