package schema

import (
	"fmt"
	"slices"
	"strings"
)

const (
	maxNearest = 3
	maxCompare = 256 // bytes of a name; longer ones are near to nothing
)

// Nearest returns "; near it: a, b" with those names of all that differ little from name,
// or "".
func Nearest(name string, all []string) string {
	type candidate struct {
		name     string
		distance int
	}
	var near []candidate
	for _, other := range sorted(slices.Clone(all)) {
		d := distance(strings.ToLower(name), strings.ToLower(other))
		if d <= max(2, len(name)/3) || sameEnd(name, other) {
			near = append(near, candidate{other, d})
		}
	}
	slices.SortStableFunc(near, func(a, b candidate) int { return a.distance - b.distance })
	var names []string
	for _, c := range near[:min(len(near), maxNearest)] {
		names = append(names, c.name)
	}
	if len(names) == 0 {
		return ""
	}
	return fmt.Sprintf("; near it: %s", strings.Join(names, ", "))
}

// sameEnd reports whether name is the end of other, after a dot: a name without its
// package.
func sameEnd(name, other string) bool {
	return name != "" && strings.HasSuffix(strings.ToLower(other), "."+strings.ToLower(name))
}

// distance returns the number of bytes to insert, delete or replace that turn a into b
// (Levenshtein).
func distance(a, b string) int {
	if len(a) > maxCompare || len(b) > maxCompare {
		return max(len(a), len(b))
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
