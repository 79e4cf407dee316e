package main

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

type verdict int

const (
	killed verdict = iota
	survived
	invalid // it does not compile
)

type result struct {
	mutant
	verdict verdict
	by      string // the test that killed it
	reached int    // by how many tests
}

func (r result) String() string {
	switch r.verdict {
	case killed:
		return fmt.Sprintf("killed    %v: by %s", r.mutant, r.by)
	case survived:
		return fmt.Sprintf("survived  %v: %d tests reach it", r.mutant, r.reached)
	default:
		return fmt.Sprintf("invalid   %v", r.mutant)
	}
}

// runOptions are the flags of a run.
type runOptions struct {
	jobs    int
	timeout time.Duration
	long    bool
	verbose bool
}

// A runner runs the tests of a schemata, several at a time.
type runner struct {
	runOptions
	*schemata
	binary string
	tmp    string // for the files of tests: one that is killed leaves some
}

// run runs the original, whose tests must pass, and then each mutant.
func (o runOptions) run(ctx context.Context, dir string, mutants []mutant, out io.Writer) ([]result, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	tmp, err := os.MkdirTemp("", "mutate")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(tmp)
	if err := os.Chmod(tmp, 0o711); err != nil { // some tests run as other users
		return nil, err
	}
	r := &runner{runOptions: o, tmp: tmp, schemata: &schemata{dir: dir, mutants: mutants, invalid: make([]bool, len(mutants))}}
	if r.binary, err = r.build(ctx, filepath.Join(tmp, "choose"), choose); err != nil {
		return nil, err
	}
	recorder, err := r.build(ctx, filepath.Join(tmp, "record"), record)
	if err != nil {
		return nil, err
	}
	tests, err := r.survey(ctx, tmp, recorder)
	if err != nil {
		return nil, err
	}
	results := make([]result, len(mutants))
	var lock sync.Mutex // of out
	err = r.parallel(ctx, len(mutants), func(i int) error {
		var err error
		results[i], err = r.one(ctx, filepath.Join(tmp, fmt.Sprint(i)), i, tests[i])
		if err == nil && (r.verbose || results[i].verdict == survived) {
			lock.Lock()
			defer lock.Unlock()
			fmt.Fprintln(out, results[i])
		}
		return err
	})
	return results, err
}

// parallel calls f with 0 to n-1, jobs of them at a time, until one fails.
func (o runOptions) parallel(ctx context.Context, n int, f func(int) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	next := make(chan int)
	var workers sync.WaitGroup
	for range o.jobs {
		workers.Add(1)
		go func() {
			defer workers.Done()
			for i := range next {
				if err := f(i); err != nil {
					cancel(err)
				}
			}
		}()
	}
	for i := 0; i < n && ctx.Err() == nil; i++ {
		next <- i
	}
	close(next)
	workers.Wait()
	return context.Cause(ctx)
}

// one tests the mutant of that index. A mutant that does not compile with the others has
// a last chance without them.
func (r *runner) one(ctx context.Context, tmp string, i int, tests []test) (result, error) {
	res := result{mutant: r.mutants[i], reached: len(tests)}
	number := i + 1
	if r.invalid[i] {
		alone := &schemata{dir: r.dir, mutants: r.mutants[i : i+1], invalid: make([]bool, 1)}
		binary, err := alone.build(ctx, tmp, choose)
		if alone.invalid[0] || err != nil {
			res.verdict = invalid
			return res, err
		}
		defer os.RemoveAll(tmp)
		r = &runner{runOptions: r.runOptions, schemata: alone, binary: binary, tmp: r.tmp}
		number = 1
	}
	var err error
	res.by, err = r.kill(ctx, number, tests)
	if res.by == "" {
		res.verdict = survived
	}
	return res, err
}

// kill runs the tests of a mutant, those that take little time first, and names the one
// that fails. It must fail twice, or hang for long: on a busy machine a test may fail now
// and then.
func (r *runner) kill(ctx context.Context, number int, tests []test) (string, error) {
	active := "MUTATE_ACTIVE=" + strconv.Itoa(number)
	for budget := 250 * time.Millisecond; len(tests) > 0; budget *= 4 {
		some, took := batch(tests, budget)
		tests = tests[len(some):]
		limit := cmp.Or(r.timeout, max(10*time.Second, 5*took+5*time.Second))
		for len(some) > 0 {
			text, err := r.test(ctx, r.binary, some, limit, active)
			if ctx.Err() != nil {
				return "", ctx.Err()
			}
			if err == nil {
				break
			}
			failed, hung := failed(text, some)
			if hung && limit > 20*took {
				return oneOf(failed), nil
			}
			if _, err := r.test(ctx, r.binary, failed, limit, active); err != nil {
				return oneOf(failed), ctx.Err()
			}
			some = slices.DeleteFunc(some, func(name string) bool { return slices.Contains(failed, name) })
		}
	}
	return "", nil
}

func oneOf(names []string) string {
	if len(names) == 1 {
		return names[0]
	}
	return fmt.Sprintf("%s or %d more", names[0], len(names)-1)
}

// batch returns the names of the first tests that together take no longer than budget, of
// one at least, and the time that they take.
func batch(tests []test, budget time.Duration) ([]string, time.Duration) {
	names, took := []string{tests[0].name}, tests[0].took
	for _, t := range tests[1:] {
		if took+t.took > budget {
			break
		}
		names, took = append(names, t.name), took+t.took
	}
	return names, took
}

// test runs tests and ends them at the limit, and all of their children when they fail.
func (r *runner) test(ctx context.Context, binary string, names []string, limit time.Duration, env ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, limit+2*time.Second)
	defer cancel()
	args := []string{"-test.failfast", "-test.run=^(" + strings.Join(names, "|") + ")$", "-test.timeout=" + limit.String()}
	if !r.long {
		args = append(args, "-test.short")
	}
	cmd := exec.CommandContext(ctx, binary, args...)
	cmd.Dir = r.dir
	cmd.Env = append(append(os.Environ(), "TMPDIR="+r.tmp), env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	var text bytes.Buffer
	cmd.Stdout, cmd.Stderr = &text, &text
	err := cmd.Run()
	if err != nil && cmd.Process != nil {
		syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	}
	return text.String(), err
}

var (
	failure = regexp.MustCompile(`(?m)^--- FAIL: (\S+)`)
	hanging = regexp.MustCompile(`(?m)^panic: test timed out after .*\n\s+running tests:\n\s+([^\s/]+)`)
)

// failed returns the test that failed, or all if the output does not tell, and reports
// whether it was still running at the limit.
func failed(text string, names []string) (which []string, hung bool) {
	for _, expression := range []*regexp.Regexp{failure, hanging} {
		if m := expression.FindStringSubmatch(text); m != nil && slices.Contains(names, m[1]) {
			return m[1:], expression == hanging
		}
	}
	return names, false
}
