package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/containerd/ttrpc/bench/workload"
)

// table has a row a case and a column a peer.
type table struct {
	title, note string
	cases       []benchCase
	figures     figures // those of each case if there are none
	main        bool    // it is in the summary too
}

// tables returns all that the run has cases for.
func (r *report) tables() []table {
	isCall := func(c benchCase) bool { return c.section == secUnary || c.section == secStreams }
	calls := r.cases(func(c benchCase) bool { return isCall(c) && c.onUnix() })
	others := r.cases(func(c benchCase) bool { return isCall(c) && !c.onUnix() })
	traffic := r.cases(func(c benchCase) bool { return c.section == secReal })
	rest := r.cases(func(c benchCase) bool { return c.section == secRealMemory })
	busy := r.cases(func(c benchCase) bool { return c.load.Kind == workload.Busy })
	cores := r.cases(func(c benchCase) bool { return c.load.Kind == workload.Cores })
	idle := r.cases(func(c benchCase) bool { return c.section == secMemory })
	programs := r.cases(func(c benchCase) bool { return c.section == secProgram })
	all := []table{
		{"Time per call", "Wall clock divided by calls; of a stream by messages, of a bidirectional one by rounds.", calls, each(timePerCall), true},
		{"Time per call on other connections", "`wrapped` is a unix socket in a type of its own, `tls` is over `tcp`.", others, each(timePerCall), true},
		{"p50 and p99", "Of the time between a call's beginning and its end; of a one-way stream that of whole streams, divided by messages.", calls, each(p50, p99), false},
		{"CPU per call, client + server", "User and system time of both processes.", calls, parts(clientCPU, serverCPU), false},
		{"p50 and p99 on other connections", "", others, each(p50, p99), false},
		{"CPU per call on other connections, client + server", "", others, parts(clientCPU, serverCPU), false},
		{"Allocations per call, client + server", "", calls, parts(clientAllocs, serverAllocs), false},
		{"Bytes allocated per call, client + server", "", calls, parts(clientBytes, serverBytes), false},
		{"Real traffic", "One caller on one connection, 128 B, if the row does not say otherwise.", traffic, figures{}, true},
		{"Real traffic: p50, p99, slowest", "", traffic, each(p50, p99, slowest), false},
		{"Memory of calls and streams that rest: server, client", "Growth of the resident memory for each of those on one connection. The client has a goroutine of the benchmark's for each call.", rest, figures{}, true},
		{"A call beside a busy handler: p50, p99, slowest", "One caller, 128 B, while another's handler is busy all the time, on the same connection if the row does not say another.", busy, each(p50, p99, slowest), false},
		{"Cores at work", "The handlers' work, as a part of what all cores could do in the time.", cores, each(coresUsed), false},
		{"Server's memory per idle connection", "Growth of the resident memory; each connection has had one call.", idle, each(serverIdle), true},
		{"Client's memory per idle connection", "", idle, each(clientIdle), true},
		{"Goroutines per idle connection, server + client", "", idle, parts(serverGoroutines, clientGoroutines), false},
		{"Programs", "A static, stripped server with one method.", programs, each(programBytes), true},
	}
	return slices.DeleteFunc(all, func(t table) bool { return len(t.cases) == 0 })
}

// writeTables writes all figures as Markdown, writeSummary the main ones.
func (r *report) writeTables(w io.Writer) { r.write(w, r.tables()) }

func (r *report) writeSummary(w io.Writer) {
	r.write(w, slices.DeleteFunc(r.tables(), func(t table) bool { return !t.main }))
}

func (r *report) write(w io.Writer, tables []table) {
	fmt.Fprintf(w, "Taken on %s. Client and server are two processes on one machine, over unix sockets if a row names no other connection. "+
		"Medians of %d rounds, in which the peers take turns, of %v s each; in brackets the ratio to %s, "+
		"the median of those within a round.%s\n",
		r.Machine, r.Rounds, r.Seconds, r.Base, r.versions())
	r.writeFailures(w)
	for _, t := range tables {
		r.writeTable(w, t)
	}
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

// figures are the contents of a cell.
type figures struct {
	shown     []metric
	separator string
	ratios    []metric // to the base's
}

// each shows figures of which each has its own ratio.
func each(metrics ...metric) figures { return figures{metrics, " / ", metrics} }

// parts shows figures that add up, with the ratio of the sum.
func parts(a, b metric) figures {
	sum := metric{of: func(res workload.Result) float64 { return a.of(res) + b.of(res) }}
	return figures{[]metric{a, b}, " + ", []metric{sum}}
}

func (r *report) writeTable(w io.Writer, t table) {
	fmt.Fprintf(w, "\n### %s\n\n", t.title)
	if t.note != "" {
		fmt.Fprintf(w, "%s\n\n", t.note)
	}
	fmt.Fprintf(w, "| | %s |\n|---|%s\n", strings.Join(r.Peers, " | "), strings.Repeat("---:|", len(r.Peers)))
	for _, c := range t.cases {
		fmt.Fprintf(w, "| %s |", c.title)
		f := t.figures
		if f.shown == nil {
			f = each(c.figures...)
		}
		for _, p := range r.Peers {
			fmt.Fprintf(w, " %s |", r.cell(c.name, p, f))
		}
		fmt.Fprintln(w)
	}
}

func (r *report) cell(c, p string, f figures) string {
	out := r.outcome(c, p)
	if len(out.Results) == 0 {
		return out.Failure.cell()
	}
	var shown, ratios []string
	for _, m := range f.shown {
		v, _ := out.median(m)
		shown = append(shown, m.format(v))
	}
	cell := strings.Join(shown, f.separator)
	if p == r.Base {
		return cell
	}
	for _, m := range f.ratios {
		if ratio, ok := out.ratio(r.outcome(c, r.Base), m); ok {
			ratios = append(ratios, times(ratio))
		}
	}
	if len(ratios) == 0 {
		return cell
	}
	return cell + " (" + strings.Join(ratios, ", ") + ")"
}

func times(ratio float64) string { return fmt.Sprintf("%.2f×", ratio) }

// writeFailures says of each peer which cases it has no figures for, and why.
func (r *report) writeFailures(w io.Writer) {
	var lines []string
	for _, p := range r.Peers {
		var reasons []string
		names := make(map[string][]string) // of cases, by reason
		for _, c := range r.Cases {
			if f := r.outcome(c, p).Failure; f.Kind != "" {
				reason := f.String()
				if names[reason] == nil {
					reasons = append(reasons, reason)
				}
				names[reason] = append(names[reason], c)
			}
		}
		for _, reason := range reasons {
			lines = append(lines, fmt.Sprintf("- %s %s: %s", p, reason, strings.Join(names[reason], ", ")))
		}
	}
	if len(lines) > 0 {
		fmt.Fprintf(w, "\nCases without figures:\n\n%s\n", strings.Join(lines, "\n"))
	}
}
