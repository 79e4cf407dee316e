package main

import (
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/containerd/ttrpc/bench/workload"
)

// section groups the cases of one table.
type section string

const (
	secUnary      section = "Unary calls"
	secStreams    section = "Streams"
	secReal       section = "Real traffic"
	secRealMemory section = "Memory of calls and streams that rest"
	secFairness   section = "Busy handlers"
	secMemory     section = "Memory of idle connections"
	secProgram    section = "Programs"
)

// benchCase is a case by the name it is chosen with.
type benchCase struct {
	name    string
	title   string // in the tables
	section section
	load    workload.Case // for all but secProgram
	extra   bool          // it is run only if it is named
	long    bool          // it has few calls a second and is measured for longer
	figures []metric      // the figures that its title names, for secReal and secRealMemory
}

// Sizes of payloads.
const (
	kib = 1 << 10
	mib = 1 << 20
	// largest leaves 4 KiB of ttrpc's (and grpc-go's) limit of 4 MiB for the
	// message's and the envelope's own bytes.
	largest = 4*mib - 4*kib
)

// allCases are on unix sockets first, then on other connections.
func allCases() []benchCase {
	cases := unixCases()
	for i := range cases {
		if cases[i].section != secProgram {
			cases[i].load.Options.Connection = workload.Unix
		}
	}
	return withConnections(cases)
}

func unixCases() []benchCase {
	unary := func(name, title string, size, callers, conns int) benchCase {
		return benchCase{name: name, title: title, section: secUnary, load: workload.Case{
			Kind: workload.Unary, Size: size, Callers: callers, Conns: conns,
		}}
	}
	stream := func(name, title string, kind workload.StreamKind, size, messages int) benchCase {
		return benchCase{name: name, title: title, section: secStreams, load: workload.Case{
			Kind: workload.Streams, Stream: kind, Size: size, Messages: messages, Callers: 1, Conns: 1,
		}}
	}
	busy := func(name, title string, method workload.Method, conns int) benchCase {
		return benchCase{name: name, title: title, section: secFairness, load: workload.Case{
			Kind: workload.Busy, Busy: method, Work: 5 * time.Millisecond, Size: 128, Callers: 1, Conns: conns,
		}}
	}
	idle := func(conns int) benchCase {
		title := thousands(conns) + " connections"
		return benchCase{name: fmt.Sprint("idle-", conns), title: title, section: secMemory, load: workload.Case{
			Kind: workload.Idle, Size: 128, Conns: conns,
		}}
	}
	realCall := unary("real-128-c1", "1 caller, 128 B, metadata, deadline, interceptors", 128, 1, 1)
	realCall.load.Options.Real = true
	realMany := unary("real-128-c64", "64 callers, 128 B, metadata, deadline, interceptors", 128, 64, 1)
	realMany.load.Options.Real = true
	cases := []benchCase{
		unary("unary-0-c1", "1 caller, 0 B", 0, 1, 1),
		unary("unary-128-c1", "1 caller, 128 B", 128, 1, 1),
		unary("unary-4k-c1", "1 caller, 4 KiB", 4*kib, 1, 1),
		unary("unary-64k-c1", "1 caller, 64 KiB", 64*kib, 1, 1),
		unary("unary-1m-c1", "1 caller, 1 MiB", mib, 1, 1),
		unary("unary-4m-c1", "1 caller, 4 MiB − 4 KiB", largest, 1, 1),
		unary("unary-128-c8", "8 callers, 128 B", 128, 8, 1),
		unary("unary-128-c64", "64 callers, 128 B", 128, 64, 1),
		unary("unary-128-c512", "512 callers, 128 B", 128, 512, 1),
		unary("unary-128-c4096", "4096 callers, 128 B", 128, 4096, 1),
		unary("unary-128-conns64", "64 connections, 1 caller each, 128 B", 128, 64, 64),
		realCall,
		realMany,
		stream("sstream-128", "server stream, 128 B", workload.ServerStream, 128, 10_000),
		stream("sstream-32k", "server stream, 32 KiB", workload.ServerStream, 32*kib, 500),
		stream("cstream-128", "client stream, 128 B", workload.ClientStream, 128, 10_000),
		{name: "bidi-128", title: "bidirectional echo, 128 B", section: secStreams, load: workload.Case{
			Kind: workload.Bidi, Size: 128, Callers: 1, Conns: 1,
		}},
		busy("busy-burn", "beside a handler that computes for 5 ms", workload.Burn, 1),
		busy("busy-burn-other", "the same on another connection", workload.Burn, 2),
		busy("busy-block", "beside a handler that sleeps for 5 ms", workload.Block, 1),
		{name: "busy-cores", title: "16 callers, handlers compute for 100 µs", section: secFairness, load: workload.Case{
			Kind: workload.Cores, Work: 100 * time.Microsecond, Callers: 16, Conns: 1,
		}},
		{name: "dial-128", title: "a connection for each call, 128 B", section: secUnary, extra: true, load: workload.Case{
			Kind: workload.Dial, Size: 128, Callers: 1,
		}},
		idle(1000),
		idle(10000),
		{name: "size", title: "stripped one-method server", section: secProgram},
		{name: "startup", title: "its RSS at start-up", section: secProgram},
		{name: "startup-anonymous", title: "of that anonymous, which its processes do not share", section: secProgram},
	}
	return append(cases, realCases()...)
}

// selectCases is selectByName, with the usual cases if there is no pattern.
func selectCases(patterns string) ([]benchCase, error) {
	cases := allCases()
	if patterns == "" {
		return slices.DeleteFunc(cases, func(c benchCase) bool { return c.extra }), nil
	}
	return selectByName(cases, func(c benchCase) string { return c.name }, patterns)
}

// selectByName keeps the items that one of the comma-separated patterns matches, all
// of them if there is no pattern. A pattern that matches nothing is an error.
func selectByName[T any](all []T, name func(T) string, patterns string) ([]T, error) {
	if patterns == "" {
		return all, nil
	}
	used := make(map[string]bool)
	var out []T
	for _, v := range all {
		take := false
		for _, p := range strings.Split(patterns, ",") {
			ok, err := path.Match(p, name(v))
			if err != nil {
				return nil, fmt.Errorf("%q: %w", p, err)
			}
			if ok {
				used[p], take = true, true
			}
		}
		if take {
			out = append(out, v)
		}
	}
	for _, p := range strings.Split(patterns, ",") {
		if !used[p] {
			var names []string
			for _, v := range all {
				names = append(names, name(v))
			}
			return nil, fmt.Errorf("%q matches none of %s", p, strings.Join(names, ", "))
		}
	}
	return out, nil
}

func thousands(n int) string {
	if n < 1000 {
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("%d,%03d", n/1000, n%1000)
}
