package main

import (
	"fmt"
	"time"

	"github.com/containerd/ttrpc/bench/workload"
)

// realCases are the daily traffic of a shim or a plugin; the others saturate a
// connection with quick handlers: a call now and then, handlers that are
// sometimes slow, a stream that stays open, a busy machine.
func realCases() []benchCase {
	return append(realCalls(), realMemory()...)
}

func realCalls() []benchCase {
	const size = 128
	call := workload.Case{Kind: workload.Unary, Size: size, Callers: 1, Conns: 1}
	every := func(name string, d time.Duration) benchCase {
		c := benchCase{name: name, title: fmt.Sprintf("a call every %v: server's CPU, p50", d), load: call}
		c.load.Every = d
		c.figures = []metric{serverCPU, p50}
		return c
	}
	slow := func(in int) benchCase {
		c := benchCase{
			name:  fmt.Sprint("real-slow-", in),
			title: fmt.Sprintf("16 callers, one call in %d sleeps 2 ms, GOMAXPROCS=1: p50, time per call", in),
			load:  workload.Case{Kind: workload.Mixed, SlowIn: in, Work: 2 * time.Millisecond, Callers: 16, Conns: 1},
		}
		c.load.Options.Procs = 1
		c.figures = []metric{p50, timePerCall}
		return c
	}
	away := benchCase{name: "real-away", title: "while a stream's handler is away for 5 ms, as it is every 20th message: p50", load: call}
	away.load.Kind = workload.Away
	away.figures, away.long = []metric{p50}, true

	behind := benchCase{name: "real-behind", title: "right behind a call whose handler sleeps for 20 ms: p50, slowest", load: call}
	behind.load.Kind, behind.load.Work = workload.Behind, 20*time.Millisecond
	behind.figures, behind.long = []metric{p50, slowest}, true

	hogs := func(callers, n int) benchCase {
		c := benchCase{
			name:  fmt.Sprintf("real-hogs-c%d", callers),
			title: fmt.Sprintf("callers: %d, among %d goroutines that compute: time per call", callers, n),
			load:  call,
		}
		c.load.Callers, c.load.Hogs = callers, n
		c.figures, c.long = []metric{timePerCall}, true
		return c
	}
	idle := hogs(1, 3)
	idle.name = "real-hogs-stream"
	idle.title = "1 caller, an idle stream, 3 goroutines that compute, GOMAXPROCS=1: p50, time per call"
	idle.load.IdleStream, idle.load.Options.Procs = true, 1
	idle.figures = []metric{p50, timePerCall}

	beside := benchCase{name: "real-beside", title: "1 caller, with nothing beside it: p50, p99", extra: true, load: call}
	beside.figures, beside.long = []metric{p50, p99}, true
	unread := beside
	unread.name, unread.title = "real-unread", "1 caller, 3 streams each way that nobody receives: p50, p99"
	unread.load.Unread = 3

	return inSection(secReal, beside, unread,
		every("real-every-500us", 500*time.Microsecond), every("real-every-2ms", 2*time.Millisecond),
		slow(10), slow(20), slow(50), away, behind, idle, hogs(2, 2), hogs(8, 2))
}

func realMemory() []benchCase {
	held := func(name, title string, kind workload.Kind) benchCase {
		return benchCase{name: name, title: title, figures: []metric{serverIdle, clientIdle}, load: workload.Case{
			Kind: kind, Size: 128, Callers: 10_000, Conns: 1,
		}}
	}
	return inSection(secRealMemory,
		held("real-held-calls", "10,000 calls in their handlers", workload.HeldCalls),
		held("real-idle-streams", "10,000 idle streams", workload.HeldStreams))
}

func inSection(s section, cases ...benchCase) []benchCase {
	for i := range cases {
		cases[i].section = s
	}
	return cases
}
