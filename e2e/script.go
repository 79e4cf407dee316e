package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
)

// script is a shell script in a container, by ctr run or ctr task exec, and
// its expected result.
type script struct {
	ctr    []string // ctr's arguments before the command
	before []string // the command before the shell, if any
	text   string
	input  string
	stdout string
	stderr string
	code   int
}

// want runs the script and compares outputs and exit code.
//
// ctr closes a process's pipes when it has exited, without reading the rest of
// their data. So the script waits, after its output, until the driver has it all.
func (s script) want(ctx context.Context, e *env) error {
	got := expectOutput(s.stdout, s.stderr)
	name := fmt.Sprint("ack-", e.acks.Add(1))
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	acked := make(chan error, 1)
	go func() {
		select {
		case <-got.complete:
			acked <- os.WriteFile(e.inRootfs(name), nil, 0o644)
		case <-ctx.Done():
			acked <- nil
		}
	}()
	shell := fmt.Sprintf("%s; while [ ! -e /%s ]; do usleep 5000; done; exit %d", s.text, name, s.code)
	args := append(append(append([]string{}, s.ctr...), s.before...), "sh", "-c", shell)
	r := e.ctrStreams(ctx, strings.NewReader(s.input), got.writer(&got.stdout), got.writer(&got.stderr), args...)
	cancel()
	if err := <-acked; err != nil {
		return err
	}
	r.stdout, r.stderr = got.stdout.String(), got.stderr.String()
	return r.wantOutput(s.code, s.stdout, s.stderr)
}

// output collects both outputs of a process.
type output struct {
	complete chan struct{} // closed when as much as expected has come

	mu             sync.Mutex
	stdout, stderr bytes.Buffer
	wantStdout     int
	wantStderr     int
	closed         bool
}

func expectOutput(stdout, stderr string) *output {
	o := &output{complete: make(chan struct{}), wantStdout: len(stdout), wantStderr: len(stderr)}
	o.checkLocked() // nothing may be expected
	return o
}

func (o *output) checkLocked() {
	if !o.closed && o.stdout.Len() >= o.wantStdout && o.stderr.Len() >= o.wantStderr {
		o.closed = true
		close(o.complete)
	}
}

// writer returns the writing end for one of o's buffers.
func (o *output) writer(b *bytes.Buffer) writerFunc {
	return func(p []byte) (int, error) {
		o.mu.Lock()
		defer o.mu.Unlock()
		n, err := b.Write(p)
		o.checkLocked()
		return n, err
	}
}

type writerFunc func(p []byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }
