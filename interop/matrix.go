package main

import (
	"fmt"
	"io"
	"strings"
)

// A column of the matrix combines pairings: a cell fails when one of them
// does, and passes when one does and none fails.
type column struct {
	name     string
	pairings []*pairing
}

func (c column) result(name string) result {
	var worst result
	for _, p := range c.pairings {
		if r := p.results[name]; r.verdict > worst.verdict {
			worst = r
		}
	}
	return worst
}

// A table is a part of the matrix: one role, one generation.
type table struct {
	title   string
	columns []column
}

// tables arranges pairings as the matrix shows them.
func tables(pairings []*pairing) []table {
	var out []table
	for _, part := range []struct {
		title string
		kind  string                // of the released build
		name  func(*pairing) *build // the release of a pairing, nil when it is not of this part
	}{
		{"released client, gogo generation -> our server", "gogo", clientOfOurs},
		{"released client, protobuf generation -> our server", "pb", clientOfOurs},
		{"our client -> released server, gogo generation", "gogo", serverOfOurs},
		{"our client -> released server, protobuf generation", "pb", serverOfOurs},
		{"control: released client -> released server, gogo generation", "gogo", control},
		{"control: released client -> released server, protobuf generation", "pb", control},
		{"Rust's client -> our server", "rust", clientOfOurs},
		{"our client -> Rust's server", "rust", serverOfOurs},
		{"control: Rust's client -> Rust's server", "rust", control},
	} {
		t := table{title: part.title}
		for _, release := range everyBuild {
			var c column
			for _, p := range pairings {
				if part.name(p) == release && generation(release) == part.kind {
					c.name = release.name
					c.pairings = append(c.pairings, p)
				}
			}
			if c.pairings != nil {
				t.columns = append(t.columns, c)
			}
		}
		out = append(out, t)
	}
	t := table{title: "our client -> our server, with messages of each generation, and with extensions off or offered in every request"}
	own := append(ours[:len(ours):len(ours)], variants...)
	own = append(own, windows)
	for _, client := range own {
		for _, server := range own {
			c := column{name: generation(client) + "->" + generation(server)}
			for _, p := range pairings {
				if p.client == client && p.server == server {
					c.pairings = append(c.pairings, p)
				}
			}
			if c.pairings != nil {
				t.columns = append(t.columns, c)
			}
		}
	}
	return append(out, t)
}

func clientOfOurs(p *pairing) *build {
	if p.server.ours() && !p.client.ours() {
		return p.client
	}
	return nil
}

func serverOfOurs(p *pairing) *build {
	if p.client.ours() && !p.server.ours() {
		return p.server
	}
	return nil
}

func control(p *pairing) *build {
	if p.client.ours() || p.server.ours() {
		return nil
	}
	return p.client
}

func generation(b *build) string {
	if b.wine != "" {
		return "windows"
	}
	if b.variant != "" {
		return string(b.variant)
	}
	switch {
	case b.gogo:
		return "gogo"
	case b.rust:
		return "rust"
	}
	return "pb"
}

// write prints the table. Cases that no column can do are listed under it, by
// reason; other cells that cannot refer to a note.
func (t table) write(w io.Writer, cases []testCase) {
	if len(t.columns) == 0 {
		return
	}
	fmt.Fprintf(w, "\n%s\n\n%-34s", t.title, "")
	for _, c := range t.columns {
		fmt.Fprintf(w, " %-9s", c.name)
	}
	fmt.Fprintln(w)
	var notes, reasons []string
	left := map[string][]string{} // by reason
	for _, c := range cases {
		if why := t.whyNone(c.name); why != "" {
			if left[why] == nil {
				reasons = append(reasons, why)
			}
			left[why] = append(left[why], c.name)
			continue
		}
		row := fmt.Sprintf("%-34s", c.name)
		for _, column := range t.columns {
			r := column.result(c.name)
			cell := map[verdict]string{unknown: "-", pass: "pass", fail: "FAIL"}[r.verdict]
			if r.verdict == cannot {
				cell = fmt.Sprintf("cannot[%d]", note(&notes, r.why))
			}
			row += fmt.Sprintf(" %-9s", cell)
		}
		fmt.Fprintln(w, strings.TrimRight(row, " "))
	}
	for i, why := range notes {
		fmt.Fprintf(w, "  cannot[%d]: %s\n", i+1, why)
	}
	for _, why := range reasons {
		fmt.Fprintf(w, "  cannot, all of these: %s: %s\n", why, strings.Join(left[why], ", "))
	}
}

// whyNone returns the reason when all columns cannot for the same one.
func (t table) whyNone(name string) string {
	why := t.columns[0].result(name).why
	for _, c := range t.columns {
		if r := c.result(name); r.verdict != cannot || r.why != why {
			return ""
		}
	}
	return why
}

// note returns the number of a note, adding it when it is new.
func note(notes *[]string, why string) int {
	for i, n := range *notes {
		if n == why {
			return i + 1
		}
	}
	*notes = append(*notes, why)
	return len(*notes)
}
