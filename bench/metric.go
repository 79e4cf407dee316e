package main

import (
	"fmt"

	"github.com/containerd/ttrpc/bench/workload"
)

// metric is one figure of a result.
type metric struct {
	name   string
	of     func(workload.Result) float64
	format func(float64) string
}

var (
	timePerCall = metric{"time", func(r workload.Result) float64 { return r.Time }, nanoseconds}
	p50         = metric{"p50", func(r workload.Result) float64 { return r.P50 }, nanoseconds}
	p99         = metric{"p99", func(r workload.Result) float64 { return r.P99 }, nanoseconds}
	slowest     = metric{"max", func(r workload.Result) float64 { return r.Max }, nanoseconds}
	clientCPU   = metric{"client CPU", func(r workload.Result) float64 { return r.ClientCPU }, nanoseconds}
	serverCPU   = metric{"server CPU", func(r workload.Result) float64 { return r.ServerCPU }, nanoseconds}
	cpu         = metric{"CPU", func(r workload.Result) float64 { return r.ClientCPU + r.ServerCPU }, nanoseconds}

	clientAllocs = metric{"client allocations", func(r workload.Result) float64 { return r.ClientAllocs }, count}
	serverAllocs = metric{"server allocations", func(r workload.Result) float64 { return r.ServerAllocs }, count}
	clientBytes  = metric{"client bytes", func(r workload.Result) float64 { return r.ClientBytes }, bytesOf}
	serverBytes  = metric{"server bytes", func(r workload.Result) float64 { return r.ServerBytes }, bytesOf}

	coresUsed = metric{"cores used", func(r workload.Result) float64 { return r.CoresUsed }, percent}

	// Of a connection, or a call or a stream that rests.
	serverIdle = metric{"server RSS each", perIdle(func(p workload.IdlePoint) int64 { return p.ServerRSS }), bytesOf}
	clientIdle = metric{"client RSS each", perIdle(func(p workload.IdlePoint) int64 { return p.ClientRSS }), bytesOf}

	serverGoroutines = metric{"server goroutines each",
		perIdle(func(p workload.IdlePoint) int64 { return int64(p.ServerGoroutines) }), count}
	clientGoroutines = metric{"client goroutines each",
		perIdle(func(p workload.IdlePoint) int64 { return int64(p.ClientGoroutines) }), count}

	programBytes = metric{"bytes", func(r workload.Result) float64 { return float64(r.Bytes) }, bytesOf}
)

// perIdle is the growth from the first point, which has a single one, to the
// last, for each.
func perIdle(get func(workload.IdlePoint) int64) func(workload.Result) float64 {
	return func(r workload.Result) float64 {
		if len(r.Idle) < 2 {
			return 0
		}
		first, last := r.Idle[0], r.Idle[len(r.Idle)-1]
		return float64(get(last)-get(first)) / float64(last.Conns-first.Conns)
	}
}

// describeLast is a result in one line of the progress.
func (o *outcome) describeLast(c benchCase) string {
	if o.Failure.Kind != "" {
		return o.Failure.String()
	}
	res := o.Results[len(o.Results)-1]
	show := func(metrics ...metric) string {
		s := ""
		for _, m := range metrics {
			s += fmt.Sprintf("%s %-9s ", m.name, m.format(m.of(res)))
		}
		return s
	}
	switch {
	case c.figures != nil:
		return show(c.figures...)
	case c.section == secProgram:
		return show(programBytes)
	case c.load.Kind == workload.Idle:
		return show(serverIdle, clientIdle)
	case c.load.Kind == workload.Busy:
		return show(p50, p99, slowest)
	case c.load.Kind == workload.Cores:
		return show(timePerCall, coresUsed)
	}
	return show(timePerCall, p99, cpu)
}

func nanoseconds(v float64) string {
	switch {
	case v < 1e3:
		return fmt.Sprintf("%.0f ns", v)
	case v < 1e6:
		return significant(v/1e3) + " µs"
	case v < 1e9:
		return significant(v/1e6) + " ms"
	}
	return significant(v/1e9) + " s"
}

func bytesOf(v float64) string {
	switch {
	case v < 1000:
		return fmt.Sprintf("%.0f B", v)
	case v < 1e6:
		return significant(v/1e3) + " KB"
	}
	return significant(v/1e6) + " MB"
}

func percent(v float64) string { return fmt.Sprintf("%.0f %%", v*100) }

func count(v float64) string {
	if v < 9.95 {
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.0f", v)
}

// significant has three digits, but all before the point.
func significant(v float64) string {
	switch {
	case v < 9.995:
		return fmt.Sprintf("%.2f", v)
	case v < 99.95:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.0f", v)
}
