package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// runArgs are the arguments of a foreground container, removed at its end.
func (e *env) runArgs(id string) []string {
	return []string{"run", "--rm", "--env", "PATH=/bin", "--rootfs", e.rootfs, id}
}

func (e *env) run(ctx context.Context, id string, args ...string) ctrResult {
	return e.ctr(ctx, append(e.runArgs(id), args...)...)
}

func stepRun(ctx context.Context, e *env) (string, error) {
	return "", script{
		ctr: e.runArgs("run"),
		// ctr run does not pass on the end of its input; one line does.
		text:   "echo to stdout; echo to stderr >&2; read line; echo $line",
		input:  "from stdin\n",
		stdout: "to stdout\nfrom stdin\n",
		stderr: "to stderr\n",
	}.want(ctx, e)
}

func stepExitCodes(ctx context.Context, e *env) (string, error) {
	codes := []int{0, 1, 42, 255}
	for _, code := range codes {
		if err := e.run(ctx, "exit", "sh", "-c", "exit "+strconv.Itoa(code)).wantOutput(code, "", ""); err != nil {
			return "", err
		}
	}
	r := e.run(ctx, "exit", "/bin/nosuch")
	return fmt.Sprint(codes), r.wantError("failed to create shim task: OCI runtime create failed: " +
		"runc create failed: unable to start container process: " +
		`exec: "/bin/nosuch": stat /bin/nosuch: no such file or directory: unknown`)
}

// stepDaemonKilled kills the daemon with one container running and one about to
// exit, and starts it again.
func stepDaemonKilled(ctx context.Context, e *env) (string, error) {
	live, err := e.start(ctx, "live", "sleep", "1000")
	if err != nil {
		return "", err
	}
	shim, err := e.shimOf(live)
	if err != nil {
		return "", err
	}
	exits, err := e.start(ctx, "exits", "sh", "-c", "while [ ! -e /go ]; do usleep 10000; done; exit 5")
	if err != nil {
		return "", err
	}

	e.daemon.kill()
	if err := os.WriteFile(e.inRootfs("go"), nil, 0o644); err != nil {
		return "", err
	}
	err = until(ctx, "the container to exit", func() (bool, error) { return !alive(exits.pid), nil })
	if err != nil {
		return "", err
	}
	if !alive(live.pid) || !alive(shim) {
		return "", fmt.Errorf("with the daemon the container (%t) or its shim (%t) died",
			!alive(live.pid), !alive(shim))
	}
	start := time.Now()
	if err := e.startDaemon(ctx); err != nil {
		return "", err
	}
	note := fmt.Sprintf("back in %.2fs", time.Since(start).Seconds())

	if err := e.wantReconnected(ctx, live, shim); err != nil {
		return note, err
	}
	if err := e.removeExited(ctx); err != nil {
		return note, err
	}
	return note, e.setBaseline(ctx)
}

// wantReconnected checks that a new daemon has found a task of the one before
// and its shim, and removes it.
func (e *env) wantReconnected(ctx context.Context, before task, shim int) error {
	now, err := e.wantStatus(ctx, before.id, "RUNNING")
	if err != nil {
		return err
	}
	if shimNow, err := e.shimOf(now); err != nil || now != before || shimNow != shim {
		return fmt.Errorf("got %v under shim %d, before %v under %d (%v)", now, shimNow, before, shim, err)
	}
	// The old shim serves the new daemon, and its events reach it: the wait for
	// the exit that killAndRemove does depends on both.
	err = script{ctr: execArgs(before.id, "after"), text: "echo after", stdout: "after\n", code: 4}.want(ctx, e)
	if err != nil {
		return err
	}
	return e.killAndRemove(ctx, before.id)
}

// stepDaemonRestarted stops the daemon as an init system does, with a command
// waiting on a call to the shim, and starts it again.
func stepDaemonRestarted(ctx context.Context, e *env) (string, error) {
	live, err := e.start(ctx, "live", "sleep", "1000")
	if err != nil {
		return "", err
	}
	shim, err := e.shimOf(live)
	if err != nil {
		return "", err
	}
	// How ctr takes the daemon's end is its own affair: it is ended at last.
	ctrCtx, endCtr := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		e.exec(ctrCtx, "live", "waiting", "sh", "-c", "touch /waiting; exec sleep 1000")
	}()
	defer func() {
		endCtr()
		<-ended
	}()
	if err := e.untilFile(ctx, "waiting"); err != nil {
		return "", err
	}
	start := time.Now()
	if err := e.daemon.stop(ctx); err != nil {
		return "", err
	}
	stopped := time.Since(start)
	start = time.Now()
	if err := e.startDaemon(ctx); err != nil {
		return "", err
	}
	endCtr()
	note := fmt.Sprintf("stopped in %.2fs, back in %.2fs", stopped.Seconds(), time.Since(start).Seconds())
	if err := e.wantReconnected(ctx, live, shim); err != nil {
		return note, err
	}
	return note, e.setBaseline(ctx)
}

// removeExited removes the container that exited with no daemon running.
// containerd 1.6 kept such a task and its exit status; 1.7 ends the shim when
// it starts and finds no process in it.
func (e *env) removeExited(ctx context.Context) error {
	tasks, err := e.tasks(ctx)
	if err != nil {
		return err
	}
	if t, ok := tasks["exits"]; ok {
		if t.status != "STOPPED" {
			return fmt.Errorf("got %v, want STOPPED", t)
		}
		r := e.ctr(ctx, "task", "rm", "exits")
		if err := r.want(0); err != nil {
			return err
		}
		if want := "exit with non-zero exit code 5"; !strings.Contains(r.stderr, want) {
			return fmt.Errorf("want %q (%s)", want, r)
		}
	}
	return e.ctr(ctx, "container", "rm", "exits").wantOutput(0, "", "")
}

// stepFifty starts fifty containers at once, each with a shim of its own.
func stepFifty(ctx context.Context, e *env) (string, error) {
	const n = 50
	id := func(i int) string { return fmt.Sprintf("fifty-%d", i) }
	start := time.Now()
	err := parallel(n, func(i int) error { return e.startUnchecked(ctx, id(i), "sleep", "1000") })
	if err != nil {
		return "", err
	}
	started := time.Since(start)
	tasks, err := e.tasks(ctx)
	if err != nil {
		return "", err
	}
	shims := map[int]bool{}
	for i := range n {
		t := tasks[id(i)]
		if t.status != "RUNNING" || !alive(t.pid) {
			return "", fmt.Errorf("container %s: %v", id(i), t)
		}
		shim, err := e.shimOf(t)
		if err != nil {
			return "", err
		}
		shims[shim] = true
	}
	if len(shims) != n {
		return "", fmt.Errorf("%d shims for %d containers", len(shims), n)
	}
	start = time.Now()
	err = parallel(n, func(i int) error { return e.killAndRemove(ctx, id(i)) })
	return fmt.Sprintf("started in %.1fs, removed in %.1fs",
		started.Seconds(), time.Since(start).Seconds()), err
}
