package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"time"
)

// stepShimKilled kills a shim while two commands wait on calls to it. Both must
// hear of it, the daemon must end the container, and others must not notice.
func stepShimKilled(ctx context.Context, e *env) (string, error) {
	other, err := e.start(ctx, "other", "sleep", "1000")
	if err != nil {
		return "", err
	}
	runWait := make(chan ctrResult, 1)
	go func() { runWait <- e.run(ctx, "victim-shim", "sh", "-c", "touch /victim-run; exec sleep 1000") }()
	if err := e.untilFile(ctx, "victim-run"); err != nil {
		return "", err
	}
	execWait := make(chan ctrResult, 1)
	go func() {
		execWait <- e.exec(ctx, "victim-shim", "exec", "sh", "-c", "touch /victim-exec; exec sleep 1000")
	}()
	if err := e.untilFile(ctx, "victim-exec"); err != nil {
		return "", err
	}
	victim, err := e.wantStatus(ctx, "victim-shim", "RUNNING")
	if err != nil {
		return "", err
	}
	shim, err := e.shimOf(victim)
	if err != nil {
		return "", err
	}
	e.killedShims = append(e.killedShims, "victim-shim")
	start := time.Now()
	if err := syscall.Kill(shim, syscall.SIGKILL); err != nil {
		return "", err
	}
	// Callers see ErrClosed by its text, through the daemon.
	const closed = "rpc error: code = Unknown desc = ttrpc: closed: unknown"
	if err := (<-execWait).wantError(closed); err != nil {
		return "", fmt.Errorf("exec: %w", err)
	}
	if err := (<-runWait).wantError(closed); err != nil {
		return "", fmt.Errorf("run: %w", err)
	}
	err = until(ctx, "the daemon to clean up after the shim", func() (bool, error) {
		tasks, err := e.tasks(ctx)
		_, listed := tasks["victim-shim"]
		return !listed && !alive(victim.pid), err
	})
	if err != nil {
		return "", err
	}
	note := fmt.Sprintf("noticed and cleaned in %.2fs", time.Since(start).Seconds())
	if again, err := e.wantStatus(ctx, "other", "RUNNING"); err != nil || again != other {
		return note, fmt.Errorf("the other container: got %v, before %v (%v)", again, other, err)
	}
	return note, e.killAndRemove(ctx, "other")
}

// stepShimHangs stops a shim. Calls to it end at their deadline, calls to
// another shim are not held up, and afterwards the shim serves on.
func stepShimHangs(ctx context.Context, e *env) (string, error) {
	hung, err := e.start(ctx, "hung", "sleep", "1000")
	if err != nil {
		return "", err
	}
	if _, err := e.start(ctx, "lively", "sleep", "1000"); err != nil {
		return "", err
	}
	shim, err := e.shimOf(hung)
	if err != nil {
		return "", err
	}
	before, err := e.footprint(ctx)
	if err != nil {
		return "", err
	}
	if err := syscall.Kill(shim, syscall.SIGSTOP); err != nil {
		return "", err
	}
	err = errors.Join(e.callHung(ctx, before), syscall.Kill(shim, syscall.SIGCONT))
	if err != nil {
		return "", err
	}
	if err := e.exec(ctx, "hung", "again", "true").wantOutput(0, "", ""); err != nil {
		return "", fmt.Errorf("after it went on: %w", err)
	}
	if err := e.killAndRemove(ctx, "hung"); err != nil {
		return "", err
	}
	return "", e.killAndRemove(ctx, "lively")
}

// callHung calls a shim that hangs and one that does not, many times at once.
func (e *env) callHung(ctx context.Context, before footprint) error {
	const each = 10
	err := parallel(2*each, func(i int) error {
		if i%2 == 0 {
			return e.exec(ctx, "lively", fmt.Sprint("lively-", i), "true").wantOutput(0, "", "")
		}
		r := e.ctr(ctx, "--timeout", "1s", "task", "ps", "hung")
		if err := r.want(1); err != nil {
			return err
		}
		if !strings.Contains(r.stderr, "context deadline exceeded") {
			return fmt.Errorf("want an exceeded deadline (%s)", r)
		}
		return nil
	})
	if err != nil {
		return err
	}
	// ctr gives up by itself. That the daemon's calls to the shim ended as well,
	// although it still hangs, shows in the daemon's footprint.
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	limit := footprint{before.Descriptors + each/2, before.Goroutines + each/2}
	if after, err := e.settledFootprint(ctx, limit); err != nil {
		return fmt.Errorf("calls to the shim did not end at their deadline: before %s, after %s: %v", before, after, err)
	}
	return nil
}
