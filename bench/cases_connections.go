package main

import (
	"runtime"

	"github.com/containerd/ttrpc/bench/workload"
)

// otherConnections are those of this system, beside the unix sockets of a case
// whose name does not say another one.
func otherConnections() []workload.Connection {
	all := []workload.Connection{workload.Wrapped, workload.TLS, workload.TCP}
	if runtime.GOOS == "windows" {
		all = append(all, workload.Pipe)
	}
	return all
}

// withConnections adds each case on each other kind of connection, by a name
// such as tls-unary-128-c1.
func withConnections(cases []benchCase) []benchCase {
	all := cases
	for _, kind := range otherConnections() {
		for _, c := range cases {
			if c.section != secProgram {
				all = append(all, c.on(kind))
			}
		}
	}
	return all
}

// on returns the case on another kind of connection.
func (c benchCase) on(kind workload.Connection) benchCase {
	plain := c.name
	c.name = string(kind) + "-" + plain
	c.title = string(kind) + ": " + c.title
	c.load.Options.Connection = kind
	c.extra = !usual(kind, plain)
	return c
}

// usual reports whether a run that names no cases has this one on that kind of
// connection.
func usual(kind workload.Connection, plain string) bool {
	switch plain {
	case "unary-128-c1", "unary-128-c64", "sstream-128":
		return true
	case "unary-128-c8", "unary-128-c512", "unary-64k-c1", "unary-1m-c1", "bidi-128", "idle-1000":
		return kind == workload.Wrapped || kind == workload.Pipe
	}
	return false
}

// onUnix reports whether the case has unix sockets, or no connections at all.
func (c benchCase) onUnix() bool {
	kind := c.load.Options.Connection
	return kind == "" || kind == workload.Unix
}
