package main

import (
	"bufio"
	"fmt"
	"os"
	"regexp"
	"strings"
)

// equivalents has the reason of each equivalent mutant, by its file and its key.
type equivalents map[string]string

// readEquivalent reads pairs of lines: a mutant, as "file: key", and its reason, which
// is indented. Empty lines and comments (#) separate them.
func readEquivalent(name string) (equivalents, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	known := make(equivalents)
	last := ""
	lines := bufio.NewScanner(f)
	for n := 1; lines.Scan(); n++ {
		line := lines.Text()
		switch {
		case line == "" || strings.HasPrefix(line, "#"):
			if last != "" && known[last] == "" {
				return nil, fmt.Errorf("%s:%d: %s has no reason", name, n, last)
			}
			last = ""
		case strings.HasPrefix(line, "\t"):
			if last == "" {
				return nil, fmt.Errorf("%s:%d: a reason without its mutant", name, n)
			}
			known[last] += line
		default:
			if last != "" && known[last] == "" {
				return nil, fmt.Errorf("%s:%d: %s has no reason", name, n, last)
			}
			last = line
			known[last] = ""
		}
	}
	if last != "" && known[last] == "" {
		return nil, fmt.Errorf("%s: %s has no reason", name, last)
	}
	return known, lines.Err()
}

func (m mutant) entry() string { return m.file + ": " + m.key() }

// rest returns the mutants that are not listed.
func (known equivalents) rest(all []mutant) []mutant {
	var rest []mutant
	for _, m := range all {
		if known[m.entry()] == "" {
			rest = append(rest, m)
		}
	}
	return rest
}

// remove returns the mutants that are not listed. An entry that matches no mutant is an
// error, unless it is of a file that was not asked for: its code has changed, and the
// reason with it.
func (known equivalents) remove(all []mutant, files *regexp.Regexp) ([]mutant, error) {
	met := make(map[string]bool)
	for _, m := range all {
		met[m.entry()] = true
	}
	for entry := range known {
		if file, _, _ := strings.Cut(entry, ":"); files.MatchString(file) && !met[entry] {
			return nil, fmt.Errorf("there is no such mutant any more: %s", entry)
		}
	}
	return known.rest(all), nil
}
