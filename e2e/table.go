package main

import (
	"fmt"
	"strings"
	"text/tabwriter"
)

// stepTable is the Markdown table of steps and pairings.
func stepTable(title string, results []result) string {
	var b strings.Builder
	if title != "" {
		fmt.Fprintf(&b, "%s\n\n", title)
	}
	var names []string
	cells := map[string]map[string]stepResult{} // step, then pairing
	for _, r := range results {
		for _, s := range r.Steps {
			if cells[s.Name] == nil {
				cells[s.Name] = map[string]stepResult{}
				names = append(names, s.Name)
			}
			cells[s.Name][r.Pairing.String()] = s
		}
	}
	rows := [][]string{{"daemon + shim"}}
	for _, r := range results {
		rows[0] = append(rows[0], r.Pairing.Daemon+" + "+r.Pairing.Shim)
	}
	for _, name := range names {
		row := []string{name}
		for _, r := range results {
			row = append(row, cellOf(cells[name][r.Pairing.String()]))
		}
		rows = append(rows, row)
	}
	total := []string{"total"}
	for _, r := range results {
		var seconds float64
		for _, s := range r.Steps {
			seconds += s.Time.Seconds()
		}
		verdict := "ok"
		if len(r.Steps) == 0 || r.failures() != "" {
			verdict = "FAIL"
		}
		total = append(total, fmt.Sprintf("%s %.1fs", verdict, seconds))
	}
	b.WriteString(markdown(append(rows, total)))
	return b.String()
}

func cellOf(s stepResult) string {
	if !s.Ran {
		return "not run"
	}
	return fmt.Sprintf("%s %.2fs", s.verdict(), s.Time.Seconds())
}

// markdown aligns rows of cells, the first of them the heading.
func markdown(rows [][]string) string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 1, ' ', tabwriter.TabIndent)
	for i, row := range rows {
		fmt.Fprintf(w, "| %s\t|\n", strings.Join(row, "\t| "))
		if i == 0 {
			fmt.Fprintf(w, "|%s\n", strings.Repeat("---\t|", len(row)))
		}
	}
	w.Flush()
	return b.String()
}
