package main

import (
	"fmt"
	"strings"
	"time"
)

// A table prints a row for each attack as soon as it is over, with the figures of all
// victims in each cell.
type table struct{ victims []*build }

// columns are the figures, as a cell shows them.
var columns = []struct {
	head string
	cell func(*result) string
}{
	{"RSS, peak MiB", func(r *result) string { return fmt.Sprint(r.rss) }},
	{"heap, live MiB", func(r *result) string { return fmt.Sprint(r.heap) }},
	{"threads", func(r *result) string { return fmt.Sprint(r.threads) }},
	{"descriptors", func(r *result) string { return fmt.Sprint(r.descriptors) }},
	{"log, KiB", func(r *result) string { return fmt.Sprint((r.log + 1023) >> 10) }},
	{"innocent p99, ms", func(r *result) string { return tenths(r.p99) }},
	{"Close, ms", func(r *result) string { return tenths(r.close) }},
}

func tenths(d time.Duration) string {
	if d >= 10*time.Millisecond {
		return fmt.Sprint(ms(d))
	}
	return fmt.Sprintf("%.1f", float64(d)/float64(time.Millisecond))
}

// newTable prints the head.
func newTable(victims []*build) *table {
	var names []string
	for _, b := range victims {
		names = append(names, b.name)
	}
	fmt.Printf("In each cell: %s.\n\n", strings.Join(names, " / "))
	head, line := "| attack |", "|---|"
	for _, c := range columns {
		head += " " + c.head + " |"
		line += "---|"
	}
	fmt.Printf("%s\n%s\n", head, line)
	return &table{victims}
}

func (t *table) row(a *attack, results []*result) {
	var row strings.Builder
	fmt.Fprintf(&row, "| %s |", a.name)
	for _, c := range columns {
		for i, r := range results {
			if i > 0 {
				row.WriteString(" /")
			}
			cell := c.cell(r)
			switch {
			case r.died:
				cell = "died"
			case len(r.faults) > 0 && c.head == columns[len(columns)-1].head:
				cell += " (" + r.faults[0] + ")"
			}
			row.WriteString(" " + cell)
		}
		row.WriteString(" |")
	}
	fmt.Println(row.String())
}
