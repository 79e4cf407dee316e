//go:build released

package main

import "github.com/containerd/ttrpc"

// safeOptions are none: a release has no limits to set.
func safeOptions() []ttrpc.ServerOpt { return nil }
