package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
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
	by      string // what killed it
}

// A runner runs the tests of mutants, several at a time.
type runner struct {
	jobs    int
	timeout time.Duration
	long    bool
}

// all runs the original, whose tests must pass, and then each mutant.
func (r runner) all(ctx context.Context, dir string, mutants []mutant, out io.Writer) ([]result, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	tmp, err := os.MkdirTemp("", "mutate")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(tmp)
	most, err := r.original(ctx, dir, tmp, mutants)
	if err != nil {
		return nil, err
	}
	results := make([]result, len(mutants))
	var lock sync.Mutex // of out and failed
	var failed error
	next := make(chan int)
	var workers sync.WaitGroup
	for range r.jobs {
		workers.Add(1)
		go func() {
			defer workers.Done()
			for i := range next {
				res, err := r.one(ctx, dir, filepath.Join(tmp, fmt.Sprint(i)), mutants[i], most)
				results[i] = res
				lock.Lock()
				failed = errors.Join(failed, err)
				if res.verdict == survived && err == nil {
					fmt.Fprintf(out, "survived  %v\n", res)
				}
				lock.Unlock()
			}
		}()
	}
	for i := range mutants {
		if ctx.Err() != nil {
			break
		}
		next <- i
	}
	close(next)
	workers.Wait()
	return results, errors.Join(failed, context.Cause(ctx))
}

// limits are those of the time of a mutant's tests.
type limits struct {
	all  time.Duration
	near map[string]time.Duration // of the near tests of a file
}

// original checks that the tests pass without a mutation, and returns the limits of time
// for those of a mutant. Many a mutant waits for ever: the less time the near tests take,
// the sooner that is found out.
func (r runner) original(ctx context.Context, dir, tmp string, mutants []mutant) (limits, error) {
	most := limits{r.timeout, make(map[string]time.Duration)}
	binary := filepath.Join(tmp, "original")
	if text, err := build(ctx, dir, binary, ""); err != nil {
		return most, fmt.Errorf("the tests of the original do not build: %w\n%s", err, text)
	}
	limit := func(selection string) (time.Duration, error) {
		start := time.Now()
		text, err := r.test(ctx, dir, binary, selection, cmp.Or(r.timeout, 20*time.Minute))
		if err != nil {
			return 0, fmt.Errorf("the tests of the original fail: %w\n%s", err, text)
		}
		return cmp.Or(r.timeout, max(5*time.Since(start), 30*time.Second)), nil
	}
	var err error
	if most.all, err = limit(""); err != nil {
		return most, err
	}
	for _, m := range mutants {
		if most.near[m.file] != 0 {
			continue
		}
		if most.near[m.file], err = limit(near(dir, m.file)); err != nil {
			return most, err
		}
	}
	return most, nil
}

// one builds and tests a mutant in the directory tmp, which it removes.
func (r runner) one(ctx context.Context, dir, tmp string, m mutant, most limits) (result, error) {
	res := result{mutant: m}
	if err := os.Mkdir(tmp, 0o700); err != nil {
		return res, err
	}
	defer os.RemoveAll(tmp)
	overlay, err := m.overlay(dir, tmp)
	if err != nil {
		return res, err
	}
	binary := filepath.Join(tmp, "test")
	if _, err := build(ctx, dir, binary, overlay); err != nil {
		res.verdict = invalid
		return res, ctx.Err()
	}
	// The tests of files of that name are the likeliest to notice.
	for _, tests := range []struct {
		selection string
		limit     time.Duration
	}{{near(dir, m.file), most.near[m.file]}, {"", most.all}} {
		text, err := r.test(ctx, dir, binary, tests.selection, tests.limit)
		if ctx.Err() != nil {
			return res, ctx.Err()
		}
		if err != nil {
			res.by = firstFailure(text, err)
			return res, nil
		}
	}
	res.verdict = survived
	return res, nil
}

// overlay writes the mutant and the file by which go build takes it for the original.
func (m mutant) overlay(dir, tmp string) (string, error) {
	original := filepath.Join(dir, m.file)
	source, err := os.ReadFile(original)
	if err != nil {
		return "", err
	}
	mutated := filepath.Join(tmp, m.file)
	text := string(source[:m.start]) + m.after + string(source[m.end:])
	if err := os.WriteFile(mutated, []byte(text), 0o600); err != nil {
		return "", err
	}
	list, err := json.Marshal(map[string]map[string]string{"Replace": {original: mutated}})
	if err != nil {
		return "", err
	}
	name := filepath.Join(tmp, "overlay.json")
	return name, os.WriteFile(name, list, 0o600)
}

func build(ctx context.Context, dir, binary, overlay string) (string, error) {
	args := []string{"test", "-c", "-vet=off", "-o", binary}
	if overlay != "" {
		args = append(args, "-overlay", overlay)
	}
	cmd := exec.CommandContext(ctx, "go", append(args, ".")...)
	cmd.Dir = dir
	text, err := cmd.CombinedOutput()
	return string(text), err
}

// test runs the tests that selection names, all if it is empty, and ends them with all
// of their children at the limit.
func (r runner) test(ctx context.Context, dir, binary, selection string, limit time.Duration) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	args := []string{"-test.failfast", "-test.run", selection}
	if !r.long {
		args = append(args, "-test.short")
	}
	cmd := exec.CommandContext(ctx, binary, args...)
	cmd.Dir = dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	var text bytes.Buffer
	cmd.Stdout, cmd.Stderr = &text, &text
	err := cmd.Run()
	return text.String(), err
}

var testName = regexp.MustCompile(`(?m)^func (Test\w+|Fuzz\w+|Example\w*)\(`)

// near returns a pattern of the tests in the files that begin as name does: of
// server_stop.go, those in server_stop_test.go, server_stop_listener_test.go and so on.
func near(dir, name string) string {
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
	if tests == nil {
		return "^$"
	}
	return "^(" + strings.Join(tests, "|") + ")$"
}

var failure = regexp.MustCompile(`(?m)^\s*--- FAIL: (\S+)`)

func firstFailure(text string, err error) string {
	if m := failure.FindStringSubmatch(text); m != nil {
		return m[1]
	}
	return err.Error()
}
