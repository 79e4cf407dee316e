package main

import (
	"fmt"
	"io"
)

// goal is a bound on a figure of this library, as a ratio to another peer's in
// the same run or, without a peer, as a value.
type goal struct {
	name    string // of the case
	metric  metric
	against string
	limit   float64
}

const ours, oursGogo = "ours", "ours-gogo"

// goals are the aims of the library. A run says which of them it met.
func goals() []goal {
	const v = defaultBase
	g := []goal{
		{"unary-128-c1", timePerCall, "raw", 1.05},
		{"unary-128-c1", timePerCall, "drpc", 1.1},
		{"unary-128-c8", timePerCall, v, 0.45},
		{"unary-128-c64", timePerCall, v, 0.28},
		{"unary-128-c64", cpu, v, 0.30},
		{"unary-128-c512", timePerCall, v, 0.22},
		{"unary-128-c4096", timePerCall, v, 0.22},
		{"unary-64k-c1", timePerCall, v, 0.38},
		{"unary-64k-c1", timePerCall, "drpc", 1},
		{"unary-1m-c1", timePerCall, v, 0.2},
		{"unary-1m-c1", timePerCall, "raw", 2},
		{"unary-4m-c1", timePerCall, v, 0.2},
		{"unary-4m-c1", timePerCall, "raw", 2},
		{"sstream-128", timePerCall, v, 0.15},
		{"sstream-128", timePerCall, "grpc", 1},
		{"sstream-128", timePerCall, "drpc", 1},
		{"sstream-32k", timePerCall, v, 0.4},
		{"sstream-32k", timePerCall, "drpc", 1},
		{"bidi-128", timePerCall, v, 0.6},
		{"bidi-128", timePerCall, "drpc", 1},
		{"unary-128-c1", clientAllocs, "", 3.05},
		{"unary-128-c1", serverAllocs, "", 5.05},
	}
	g = append(g, realGoals()...)
	g = append(g, wrappedGoals()...)
	for _, idle := range []string{"idle-1000", "idle-10000"} {
		g = append(g,
			goal{idle, serverIdle, v, 0.3},
			goal{idle, serverIdle, "", 5500},
			goal{idle, serverGoroutines, "", 1.01},
			goal{idle, clientIdle, v, 0.5},
		)
	}
	g = append(g, goal{"size", programBytes, v, 1}, goal{"startup", programBytes, v, 1}, goal{"startup-anonymous", programBytes, v, 1})
	for _, c := range allCases() {
		if c.load.Held() == 0 && c.section != secProgram && !c.extra {
			g = append(g, goal{c.name, p99, v, 1})
		}
	}
	return g
}

// realGoals are for traffic that saturates nothing.
func realGoals() []goal {
	const v = defaultBase
	return []goal{
		{"real-every-500us", serverCPU, v, 1},
		{"real-every-2ms", serverCPU, v, 1},
		{"real-slow-10", p50, v, 1},
		{"real-slow-10", timePerCall, v, 1},
		{"real-slow-20", p50, v, 1},
		{"real-slow-20", timePerCall, v, 1},
		{"real-slow-50", p50, v, 1},
		{"real-slow-50", timePerCall, v, 1},
		{"real-away", p50, v, 1},
		{"real-behind", p50, v, 1.1},
		{"real-behind", slowest, "", 2e6},
		{"real-hogs-stream", p50, v, 1},
		{"real-hogs-stream", timePerCall, v, 1}, // a p50 jumps from one time slice to the next
		{"real-hogs-c2", timePerCall, v, 1},
		{"real-hogs-c8", timePerCall, v, 1},
		{"real-held-calls", serverIdle, v, 0.75},
		{"real-idle-streams", serverIdle, v, 0.75},
		{"real-idle-streams", clientIdle, v, 0.6},
		{"unary-128-conns64", timePerCall, v, 0.5},
		{"real-128-c64", timePerCall, v, 0.33},
	}
}

// wrappedGoals are for connections that are no kernel sockets to the library:
// TLS, vsock, named pipes, multiplexers.
func wrappedGoals() []goal {
	const v = defaultBase
	return []goal{
		{"wrapped-unary-128-c1", timePerCall, v, 0.95},
		{"wrapped-unary-128-c8", timePerCall, v, 0.6},
		{"wrapped-unary-128-c64", timePerCall, v, 0.45},
		{"wrapped-unary-128-c512", timePerCall, v, 0.4},
		{"wrapped-sstream-128", timePerCall, v, 0.4},
		{"wrapped-bidi-128", timePerCall, v, 0.6},
		{"wrapped-unary-64k-c1", timePerCall, v, 0.5},
		{"wrapped-unary-1m-c1", timePerCall, v, 0.3},
		{"wrapped-idle-1000", serverIdle, v, 0.55},
	}
}

// writeGoals writes which goals this run meets.
func (r *report) writeGoals(w io.Writer) {
	var rows []string
	add := func(name, figure, bound, got string, met bool) {
		verdict := "met"
		if !met {
			verdict = "**not met**"
		}
		rows = append(rows, fmt.Sprintf("| %s | %s | %s | %s | %s |", name, figure, bound, got, verdict))
	}
	for _, g := range goals() {
		if r.Outcomes[g.name] == nil {
			continue
		}
		r.judge(g, ours, add)
		if g.name == "size" {
			r.judge(g, oursGogo, add)
		}
	}
	r.judgeCallers(add)
	r.judgeBusy(add)
	if len(rows) == 0 {
		return
	}
	fmt.Fprintf(w, "\n### Goals\n\n| case | figure | goal | got | |\n|---|---|---|---|---|\n")
	for _, row := range rows {
		fmt.Fprintln(w, row)
	}
}

type verdictFunc func(name, figure, bound, got string, met bool)

func (r *report) judge(g goal, p string, add verdictFunc) {
	out := r.Outcomes[g.name][p]
	if out == nil {
		return
	}
	name := g.name
	if p != ours {
		name += " (" + p + ")"
	}
	got, ok := out.median(g.metric)
	if !ok {
		add(name, g.metric.name, "", out.Failure.String(), false)
		return
	}
	if g.against == "" {
		add(name, g.metric.name, "≤ "+g.metric.format(g.limit), g.metric.format(got), got <= g.limit)
		return
	}
	if ratio, ok := out.ratio(r.Outcomes[g.name][g.against], g.metric); ok {
		add(name, g.metric.name, fmt.Sprintf("≤ %s %s", times(g.limit), g.against), times(ratio), ratio <= g.limit)
	}
}

// noise is how much a median may differ in a run for no reason.
const noise = 1.03

// judgeCallers: the time per call never rises with more callers.
func (r *report) judgeCallers(add verdictFunc) {
	last, lastName := 0.0, ""
	for _, c := range callersCases {
		got, ok := r.Outcomes[c.name][ours].median(timePerCall)
		if !ok {
			continue
		}
		if lastName != "" {
			add(c.name, timePerCall.name, "not above "+lastName, times(got/last), got <= last*noise)
		}
		last, lastName = got, c.name
	}
}

// judgeBusy: a busy handler delays a call by a millisecond at most, and all
// cores are used as well as by the base. A handler that computes also takes a
// core away; one on another connection does that and no more.
func (r *report) judgeBusy(add verdictFunc) {
	for _, c := range []struct{ name, without string }{
		{"busy-burn", "busy-burn-other"}, {"busy-block", "unary-128-c1"},
	} {
		got, ok := r.Outcomes[c.name][ours].median(p99)
		free, has := r.Outcomes[c.without][ours].median(p99)
		if ok && has {
			add(c.name, "p99 above "+c.without, "≤ 1 ms", nanoseconds(max(got-free, 0)), got-free <= 1e6)
		}
	}
	cores := r.Outcomes["busy-cores"]
	if ratio, ok := cores[ours].ratio(cores[defaultBase], coresUsed); ok {
		add("busy-cores", coresUsed.name, "≥ "+times(1)+" "+defaultBase, times(ratio), ratio*noise >= 1)
	}
}
