package main

import (
	"cmp"
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// A schemata is a package with many mutants in its source. A variable of the environment
// chooses the active one, if any, by its number: the index in mutants + 1.
type schemata struct {
	dir     string // the package's
	mutants []mutant
	invalid []bool // the mutants that do not compile, which the source is without
}

// The files that declare the function that each mutant asks whether it is active.
var (
	//go:embed testdata/support/choose.go
	choose string
	//go:embed testdata/support/record.go
	record string
	//go:embed testdata/support/compare.go
	compare string
)

// build builds the tests of the schemata, in the directory tmp, with one of the files
// above. It leaves out mutants until the rest compiles.
func (s *schemata) build(ctx context.Context, tmp, support string) (binary string, err error) {
	if err := os.MkdirAll(tmp, 0o700); err != nil {
		return "", err
	}
	binary = filepath.Join(tmp, "test")
	for {
		overlay, err := s.overlay(tmp, support)
		if err != nil {
			return "", err
		}
		cmd := exec.CommandContext(ctx, "go", "test", "-c", "-vet=off", "-gcflags=-e", "-o", binary, "-overlay", overlay, ".")
		cmd.Dir = s.dir
		text, err := cmd.CombinedOutput()
		if err == nil || ctx.Err() != nil {
			return binary, ctx.Err()
		}
		if !s.leaveOut(string(text)) {
			return "", fmt.Errorf("the tests of the original do not build: %w\n%s", err, text)
		}
	}
}

// overlay writes the changed files, and the list by which go build takes them for the
// originals.
func (s *schemata) overlay(tmp, support string) (string, error) {
	replace := make(map[string]string)
	write := func(name string, text string) error {
		replace[filepath.Join(s.dir, name)] = filepath.Join(tmp, name)
		return os.WriteFile(filepath.Join(tmp, name), []byte(text), 0o600)
	}
	for _, name := range s.files() {
		source, err := os.ReadFile(filepath.Join(s.dir, name))
		if err != nil {
			return "", err
		}
		clause := packageClause.FindString(string(source))
		for name, text := range map[string]string{
			name:                s.render(name, string(source)),
			"mutate_active.go":  packageClause.ReplaceAllString(support, clause),
			"mutate_compare.go": packageClause.ReplaceAllString(compare, clause),
		} {
			if err := write(name, text); err != nil {
				return "", err
			}
		}
	}
	list, err := json.Marshal(map[string]map[string]string{"Replace": replace})
	if err != nil {
		return "", err
	}
	name := filepath.Join(tmp, "overlay.json")
	return name, os.WriteFile(name, list, 0o600)
}

var packageClause = regexp.MustCompile(`(?m)^package \w+`)

// files names those that have mutants.
func (s *schemata) files() []string {
	var names []string
	for _, m := range s.mutants {
		names = append(names, m.file)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// render puts the mutants of a file into its source. Each line keeps its number.
func (s *schemata) render(name, source string) string {
	var wraps []wrap
	for i, m := range s.mutants {
		if m.file == name && !s.invalid[i] {
			wraps = append(wraps, m.numbered(i+1)...)
		}
	}
	// Outer wraps come before inner ones.
	slices.SortStableFunc(wraps, func(a, b wrap) int {
		return cmp.Or(cmp.Compare(a.start, b.start), cmp.Compare(b.end, a.end))
	})
	var text strings.Builder
	at := 0
	put := func(offset int, s string) {
		text.WriteString(source[at:offset] + s)
		at = offset
	}
	var open []wrap // each inside the one before
	closeUntil := func(offset int) {
		for len(open) > 0 && open[len(open)-1].end <= offset {
			put(open[len(open)-1].end, open[len(open)-1].after)
			open = open[:len(open)-1]
		}
	}
	for _, w := range wraps {
		closeUntil(w.start)
		put(w.start, w.before)
		open = append(open, w)
	}
	closeUntil(len(source))
	put(len(source), "")
	return text.String()
}

// numbered returns the wraps of the mutant with its number in them.
func (m mutant) numbered(number int) []wrap {
	var wraps []wrap
	for _, w := range m.wraps {
		if w.end > 0 {
			w.before = strings.ReplaceAll(w.before, "#", strconv.Itoa(number))
			w.after = strings.ReplaceAll(w.after, "#", strconv.Itoa(number))
			wraps = append(wraps, w)
		}
	}
	return wraps
}

var compileError = regexp.MustCompile(`(?m)^(?:\./|/.*/)?([^/:\n]+\.go):(\d+):`)

// leaveOut marks the mutants where the compiler has found errors, and reports whether
// there are any. A function that lacks its last return has its error at its end: that is
// of the last mutant before.
func (s *schemata) leaveOut(text string) bool {
	found := false
	for _, e := range compileError.FindAllStringSubmatch(text, -1) {
		line, _ := strconv.Atoi(e[2])
		last := -1
		for i, m := range s.mutants {
			if m.file != e[1] || m.line > line || s.invalid[i] {
				continue
			}
			if last < 0 || m.line >= s.mutants[last].line {
				last = i
			}
		}
		for i, m := range s.mutants {
			if last >= 0 && m.file == e[1] && m.line == s.mutants[last].line && !s.invalid[i] {
				s.invalid[i], found = true, true
			}
		}
	}
	return found
}
