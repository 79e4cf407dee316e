package main

import "github.com/containerd/ttrpc/bench/workload"

// chartCase is a case at its place in a chart.
type chartCase struct{ name, tick string }

var (
	callersCases = []chartCase{
		{"unary-128-c1", "1"}, {"unary-128-c8", "8"}, {"unary-128-c64", "64"},
		{"unary-128-c512", "512"}, {"unary-128-c4096", "4096"},
	}
	sizeCases = []chartCase{
		{"unary-0-c1", "0"}, {"unary-128-c1", "128 B"}, {"unary-4k-c1", "4 KiB"},
		{"unary-64k-c1", "64 KiB"}, {"unary-1m-c1", "1 MiB"}, {"unary-4m-c1", "4 MiB"},
	}
)

// charts returns those that the run has figures for.
func (r *report) charts() []chart {
	all := []chart{
		r.timeChart("callers.svg", "Time per call over callers on one connection (128 B)", "callers", callersCases),
		r.timeChart("sizes.svg", "Time per call over message size (one caller)", "bytes each way", sizeCases),
		r.memoryChart("memory-server.svg", "Server's memory over idle connections", func(p workload.IdlePoint) int64 { return p.ServerRSS }),
		r.memoryChart("memory-client.svg", "Client's memory over idle connections", func(p workload.IdlePoint) int64 { return p.ClientRSS }),
	}
	var some []chart
	for _, c := range all {
		if len(c.series) > 0 {
			some = append(some, c)
		}
	}
	return some
}

// timeChart has the cases at even distances and a logarithmic scale of time.
func (r *report) timeChart(file, title, xLabel string, cases []chartCase) chart {
	c := chart{file: file, title: title, xLabel: xLabel, yLabel: "time per call", logY: true, formatY: nanoseconds}
	for i, cc := range cases {
		c.xTicks = append(c.xTicks, tick{float64(i), cc.tick})
	}
	for _, p := range r.Peers {
		s := series{name: p}
		for i, cc := range cases {
			if v, ok := r.Outcomes[cc.name][p].median(timePerCall); ok {
				s.points = append(s.points, xy{float64(i), v})
			} else if o := r.Outcomes[cc.name][p]; o != nil && o.Failure.Kind == hangs && s.note == "" {
				s.note = " (hangs at " + cc.tick + ")"
			}
		}
		if len(s.points) > 1 {
			c.series = append(c.series, s)
		}
	}
	return c
}

// memoryChart shows the points of the case with the most connections.
func (r *report) memoryChart(file, title string, get func(workload.IdlePoint) int64) chart {
	c := chart{file: file, title: title, xLabel: "connections", yLabel: "resident memory", formatY: bytesOf}
	outcomes := r.Outcomes["idle-10000"]
	for _, p := range r.Peers {
		out := outcomes[p]
		if out == nil || len(out.Results) == 0 {
			continue
		}
		s := series{name: p}
		for i, at := range out.Results[0].Idle {
			v, _ := out.median(metric{of: func(res workload.Result) float64 { return float64(get(res.Idle[i])) }})
			s.points = append(s.points, xy{float64(at.Conns), v})
		}
		c.series = append(c.series, s)
	}
	for _, n := range []int{0, 2500, 5000, 7500, 10000} {
		c.xTicks = append(c.xTicks, tick{float64(n), thousands(n)})
	}
	return c
}
