package main

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A test is one of the package's tests, without an active mutant.
type test struct {
	name string
	took time.Duration
}

// survey runs each test of the original in a process of its own. All must pass. It
// returns for each mutant the tests that reach it.
func (r *runner) survey(ctx context.Context, tmp, recorder string) ([][]test, error) {
	names, err := r.list(ctx)
	if err != nil {
		return nil, err
	}
	tests := make([]test, len(names))
	reached := make([][]int, len(names))
	err = r.parallel(ctx, len(names), func(i int) error {
		start := time.Now()
		if err := r.pass(ctx, r.binary, names[i]); err != nil {
			return err
		}
		tests[i] = test{names[i], time.Since(start)}
		var err error
		reached[i], err = r.reached(ctx, filepath.Join(tmp, names[i]), recorder, names[i])
		return err
	})
	of := make([][]test, len(r.mutants))
	for i, numbers := range reached {
		for _, number := range numbers {
			of[number-1] = append(of[number-1], tests[i])
		}
	}
	for i, m := range r.mutants {
		if r.invalid[i] {
			of[i] = slices.Clone(tests)
		}
		r.sort(of[i], m.file)
	}
	return of, err
}

// list returns the names of the package's tests.
func (r *runner) list(ctx context.Context) ([]string, error) {
	text, err := exec.CommandContext(ctx, r.binary, "-test.list=^(Test|Fuzz|Example)").Output()
	if err != nil {
		return nil, fmt.Errorf("the tests of the original fail: %w", err)
	}
	return strings.Fields(string(text)), nil
}

// reached returns the numbers of the mutants that a test reaches.
func (r *runner) reached(ctx context.Context, file, recorder, name string) ([]int, error) {
	if err := os.WriteFile(file, nil, 0o666); err != nil {
		return nil, err
	}
	if err := r.pass(ctx, recorder, name, "MUTATE_REACHED="+file); err != nil {
		return nil, err
	}
	lines, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var numbers []int
	for _, line := range strings.Fields(string(lines)) {
		number, err := strconv.Atoi(line)
		if err != nil {
			return nil, err
		}
		numbers = append(numbers, number)
	}
	slices.Sort(numbers)
	return slices.Compact(numbers), nil // child processes reach some once more
}

// pass runs a test of the original, which must pass: as a mutant's does, it fails if it does
// so twice.
func (r *runner) pass(ctx context.Context, binary, name string, env ...string) error {
	limit := cmp.Or(r.timeout, 5*time.Minute)
	text, err := r.test(ctx, binary, []string{name}, limit, env...)
	if err != nil && ctx.Err() == nil {
		text, err = r.test(ctx, binary, []string{name}, limit, env...)
	}
	if err != nil {
		return fmt.Errorf("the tests of the original fail: %w\n%s", err, text)
	}
	return nil
}

// sort puts the tests first that are near to the file, and of these the quickest.
func (r *runner) sort(tests []test, file string) {
	near := near(r.dir, file)
	slices.SortFunc(tests, func(a, b test) int {
		if n := slices.Contains(near, a.name); n != slices.Contains(near, b.name) {
			if n {
				return -1
			}
			return 1
		}
		return cmp.Compare(a.took, b.took)
	})
}

var testName = regexp.MustCompile(`(?m)^func (Test\w+|Fuzz\w+|Example\w*)\(`)

// near returns the names of the tests in the files that begin as name does: of
// server_stop.go, those in server_stop_test.go, server_stop_listener_test.go and so on.
func near(dir, name string) []string {
	stem := strings.TrimSuffix(name, ".go")
	files, _ := filepath.Glob(filepath.Join(dir, stem+"*_test.go"))
	var tests []string
	for _, file := range files {
		source, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		for _, m := range testName.FindAllSubmatch(source, -1) {
			tests = append(tests, string(m[1]))
		}
	}
	return tests
}
