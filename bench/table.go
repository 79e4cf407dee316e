package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/containerd/ttrpc/bench/workload"
)

// writeTables writes all figures as Markdown.
func (r *report) writeTables(w io.Writer) {
	fmt.Fprintf(w, "Taken on %s. Client and server are two processes on one machine, over a unix socket. "+
		"Medians of %d rounds, in which the peers take turns, of %v s each; in brackets the ratio to %s, "+
		"the median of those within a round.%s\n",
		r.Machine, r.Rounds, r.Seconds, r.Base, r.versions())
	calls := r.cases(func(c benchCase) bool { return c.section == secUnary || c.section == secStreams })
	busy := r.cases(func(c benchCase) bool { return c.load.Kind == workload.Busy })
	cores := r.cases(func(c benchCase) bool { return c.load.Kind == workload.Cores })
	idle := r.cases(func(c benchCase) bool { return c.section == secMemory })
	programs := r.cases(func(c benchCase) bool { return c.section == secProgram })

	r.table(w, "Time per call", "Wall clock divided by calls; of a stream by messages, of a bidirectional one by rounds.", calls, timePerCall)
	r.table(w, "p50 and p99", "Of the time between a call's beginning and its end; of a one-way stream that of whole streams, divided by messages.", calls, p50, p99)
	r.table(w, "CPU per call, client + server", "User and system time of both processes.", calls, clientCPU, serverCPU)
	r.table(w, "Allocations per call, client + server", "", calls, clientAllocs, serverAllocs)
	r.table(w, "Bytes allocated per call, client + server", "", calls, clientBytes, serverBytes)
	r.table(w, "A call beside a busy handler: p50, p99, slowest", "One caller, 128 B, while another's handler is busy all the time on the same connection.", busy, p50, p99, slowest)
	r.table(w, "Cores at work", "Of all cores, those that do the handlers' work and nothing else.", cores, coresUsed)
	r.table(w, "Server's memory per idle connection", "Growth of the resident memory; each connection has had one call.", idle, serverIdle)
	r.table(w, "Client's memory per idle connection", "", idle, clientIdle)
	r.table(w, "Goroutines per idle connection, server + client", "", idle, serverGoroutines, clientGoroutines)
	r.table(w, "Programs", "A static, stripped server with one method.", programs, programBytes)
}

func (r *report) versions() string {
	if len(r.Versions) == 0 {
		return ""
	}
	var v []string
	for path, version := range r.Versions {
		v = append(v, path+" "+version)
	}
	slices.Sort(v)
	return " With " + strings.Join(v, ", ") + "."
}

// cases returns those of the run that a table shows.
func (r *report) cases(show func(benchCase) bool) []benchCase {
	var cases []benchCase
	for _, c := range allCases() {
		if slices.Contains(r.Cases, c.name) && show(c) {
			cases = append(cases, c)
		}
	}
	return cases
}

// table writes one table with a row a case and a column a peer. Metrics that are
// parts of a whole, such as client and server, share a cell and its ratio.
func (r *report) table(w io.Writer, title, note string, cases []benchCase, metrics ...metric) {
	if len(cases) == 0 {
		return
	}
	fmt.Fprintf(w, "\n### %s\n\n", title)
	if note != "" {
		fmt.Fprintf(w, "%s\n\n", note)
	}
	fmt.Fprintf(w, "| |%s\n|---|%s\n", columns(r.Peers), strings.Repeat("---:|", len(r.Peers)))
	var notes []string
	for _, c := range cases {
		fmt.Fprintf(w, "| %s |", c.title)
		for _, p := range r.Peers {
			cell, failure := r.cell(c.name, p, metrics)
			fmt.Fprintf(w, " %s |", cell)
			if failure != "" {
				notes = append(notes, fmt.Sprintf("%s, %s: %s.", p, c.title, failure))
			}
		}
		fmt.Fprintln(w)
	}
	if title == "Time per call" && len(notes) > 0 {
		fmt.Fprintf(w, "\nWithout a figure:\n\n")
		for _, n := range notes {
			fmt.Fprintf(w, "- %s\n", n)
		}
	}
}

func columns(peers []string) string {
	s := ""
	for _, p := range peers {
		s += " " + p + " |"
	}
	return s
}

// cell shows the metrics of one outcome and the ratio of their sum to the base's.
func (r *report) cell(c, p string, metrics []metric) (cell, failure string) {
	out := r.outcome(c, p)
	if len(out.Results) == 0 {
		if strings.HasPrefix(out.Failure, "hangs") {
			return "**hangs**", "no answer within the time limit"
		}
		if strings.HasPrefix(out.Failure, "fails") {
			return "**fails**", out.Failure
		}
		return "–", out.Failure
	}
	var shown []string
	for _, m := range metrics {
		v, _ := out.median(m)
		shown = append(shown, m.format(v))
	}
	cell = strings.Join(shown, separator(metrics))
	if p == r.Base {
		return cell, out.Failure
	}
	var ratios []string
	for _, m := range ratioOf(metrics) {
		if ratio, ok := out.ratio(r.outcome(c, r.Base), m); ok {
			ratios = append(ratios, times(ratio))
		}
	}
	if len(ratios) > 0 {
		cell += " (" + strings.Join(ratios, ", ") + ")"
	}
	return cell, out.Failure
}

// isParts tells a cell whose figures add up from one whose figures are each of
// its own kind.
func isParts(metrics []metric) bool {
	return len(metrics) == 2 && strings.HasPrefix(metrics[0].name, "client") || len(metrics) == 2 && strings.HasPrefix(metrics[0].name, "server")
}

func separator(metrics []metric) string {
	if isParts(metrics) {
		return " + "
	}
	return " / "
}

func ratioOf(metrics []metric) []metric {
	if !isParts(metrics) {
		return metrics
	}
	return []metric{{"sum", func(res workload.Result) float64 {
		return metrics[0].of(res) + metrics[1].of(res)
	}, nil}}
}

func times(ratio float64) string { return fmt.Sprintf("%.2f×", ratio) }
