package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"time"
)

// stepPause looks at the output of a container: there is none while it is paused.
func stepPause(ctx context.Context, e *env) (string, error) {
	if _, err := e.start(ctx, "pause", "sh", "-c", "while :; do echo >>/ticks; usleep 5000; done"); err != nil {
		return "", err
	}
	ticks := func() (int64, error) {
		info, err := os.Stat(e.inRootfs("ticks"))
		if err != nil {
			return 0, err
		}
		return info.Size(), nil
	}
	if err := e.untilFile(ctx, "ticks"); err != nil {
		return "", err
	}
	if err := e.ctr(ctx, "task", "pause", "pause").wantOutput(0, "", ""); err != nil {
		return "", err
	}
	if _, err := e.wantStatus(ctx, "pause", "PAUSED"); err != nil {
		return "", err
	}
	before, err := ticks()
	if err != nil {
		return "", err
	}
	// That something does not happen can only be seen by watching for a while;
	// unpaused it would tick ten times and more.
	time.Sleep(100 * time.Millisecond)
	after, err := ticks()
	if err != nil {
		return "", err
	}
	if after != before {
		return "", fmt.Errorf("the paused container went on: %d ticks, then %d", before, after)
	}
	if err := e.exec(ctx, "pause", "paused", "true").wantError("cannot exec in a paused state: unknown"); err != nil {
		return "", err
	}
	if err := e.ctr(ctx, "task", "resume", "pause").wantOutput(0, "", ""); err != nil {
		return "", err
	}
	if _, err := e.wantStatus(ctx, "pause", "RUNNING"); err != nil {
		return "", err
	}
	err = until(ctx, "the resumed container to go on", func() (bool, error) {
		now, err := ticks()
		return now > after, err
	})
	if err != nil {
		return "", err
	}
	return "", e.killAndRemove(ctx, "pause")
}

// metrics has the fields that both cgroup versions report.
type metrics struct {
	Pids struct {
		Current int `json:"current"`
	} `json:"pids"`
	Memory struct {
		Usage memoryUsage `json:"usage"`
	} `json:"memory"`
}

// memoryUsage is in bytes. Cgroups v2 report a number, v1 an object around it.
type memoryUsage int64

func (u *memoryUsage) UnmarshalJSON(data []byte) error {
	var v1 struct {
		Usage int64 `json:"usage"`
	}
	if err := json.Unmarshal(data, &v1); err == nil {
		*u = memoryUsage(v1.Usage)
		return nil
	}
	return json.Unmarshal(data, (*int64)(u))
}

func stepMetrics(ctx context.Context, e *env) (string, error) {
	if _, err := e.start(ctx, "metrics", "sleep", "1000"); err != nil {
		return "", err
	}
	var m metrics
	// At first the threads of runc, which became sleep, may still count.
	err := until(ctx, "one process, with memory", func() (bool, error) {
		r := e.ctr(ctx, "task", "metrics", "--format", "json", "metrics")
		if err := r.want(0); err != nil {
			return false, err
		}
		m = metrics{}
		if err := json.Unmarshal([]byte(r.stdout), &m); err != nil {
			return false, fmt.Errorf("%w (%s)", err, r)
		}
		return m.Pids.Current == 1 && m.Memory.Usage >= 4096, nil
	})
	if err != nil {
		return "", err
	}
	note := fmt.Sprintf("%d process, %d KiB", m.Pids.Current, m.Memory.Usage/1024)
	return note, e.killAndRemove(ctx, "metrics")
}

// stepShimDirect has ctr talk to the shim itself, over ttrpc without the
// daemon. An error must carry its status code.
func stepShimDirect(ctx context.Context, e *env) (string, error) {
	t, err := e.start(ctx, "direct", "sleep", "1000")
	if err != nil {
		return "", err
	}
	r := e.ctr(ctx, "shim", "--id", "direct", "state")
	if err := r.want(0); err != nil {
		return "", err
	}
	var state struct {
		ID     string `json:"id"`
		Pid    int    `json:"pid"`
		Status int    `json:"status"`
	}
	if err := json.Unmarshal([]byte(r.stdout), &state); err != nil {
		return "", fmt.Errorf("%w (%s)", err, r)
	}
	const running = 2 // in the task API
	if state.ID != "direct" || state.Pid != t.pid || state.Status != running {
		return "", fmt.Errorf("got %+v for %v", state, t)
	}
	// Without an id in the request there is no such container for the shim.
	r = e.ctr(ctx, "shim", "--id", "direct", "delete")
	if err := r.wantError("rpc error: code = NotFound desc = container not created: not found"); err != nil {
		return "", err
	}
	return "", e.killAndRemove(ctx, "direct")
}

// stepKill sends signals to a container and to an exec, and reads the
// reports of the commands that wait for them.
func stepKill(ctx context.Context, e *env) (string, error) {
	wait := make(chan ctrResult, 1)
	go func() {
		wait <- e.run(ctx, "kill", "sh", "-c", "trap 'exit 42' TERM; touch /kill; while :; do usleep 10000; done")
	}()
	if err := e.untilFile(ctx, "kill"); err != nil {
		return "", err
	}
	execWait := make(chan ctrResult, 1)
	go func() {
		execWait <- e.exec(ctx, "kill", "victim", "sh", "-c", "touch /victim; exec sleep 1000")
	}()
	if err := e.untilFile(ctx, "victim"); err != nil {
		return "", err
	}
	if err := e.ctr(ctx, "task", "kill", "-s", "SIGKILL", "--exec-id", "victim", "kill").wantOutput(0, "", ""); err != nil {
		return "", err
	}
	if err := (<-execWait).wantOutput(137, "", ""); err != nil {
		return "", err
	}
	if err := e.ctr(ctx, "task", "kill", "-s", "SIGTERM", "kill").wantOutput(0, "", ""); err != nil {
		return "", err
	}
	return "", (<-wait).wantOutput(42, "", "")
}

// stepErrorCodes provokes errors of the shim. The client sees text and code as
// the shim sent them: containerd's callers decide by the code.
func stepErrorCodes(ctx context.Context, e *env) (string, error) {
	if _, err := e.start(ctx, "errors", "sleep", "1000"); err != nil {
		return "", err
	}
	r := e.ctr(ctx, "task", "exec", "-d", "--exec-id", "twin", "errors", "sleep", "1000")
	if err := r.wantOutput(0, "", ""); err != nil {
		return "", err
	}
	killExec := []string{"task", "kill", "-s", "SIGKILL", "--exec-id", "twin", "errors"}
	cases := []struct {
		message string
		args    []string
	}{
		{"id twin: already exists", []string{"task", "exec", "--exec-id", "twin", "errors", "true"}},
		{"process does not exist nosuch: not found", []string{"task", "kill", "--exec-id", "nosuch", "errors"}},
		{"task must be stopped before deletion: running: failed precondition", []string{"task", "rm", "errors"}},
		{"task errors: already exists", []string{"task", "start", "errors"}},
		{"cannot resume a running process: unknown", []string{"task", "resume", "errors"}},
	}
	for _, c := range cases {
		if err := e.ctr(ctx, c.args...).wantError(c.message); err != nil {
			return "", fmt.Errorf("%s: %w", strings.Join(c.args, " "), err)
		}
	}
	if err := e.ctr(ctx, killExec...).wantOutput(0, "", ""); err != nil {
		return "", err
	}
	err := until(ctx, "the exec to end", func() (bool, error) {
		pids, err := e.ps(ctx, "errors")
		return len(pids) == 1, err
	})
	if err != nil {
		return "", err
	}
	// The shim learns of the exit a moment after the process is gone.
	err = until(ctx, "the shim to see the exec's end", func() (bool, error) {
		r := e.ctr(ctx, killExec...)
		return r.code != 0, r.err
	})
	if err != nil {
		return "", err
	}
	if err := e.ctr(ctx, killExec...).wantError("process already finished: not found"); err != nil {
		return "", err
	}
	return fmt.Sprint(len(cases)+1, " errors"), e.killAndRemove(ctx, "errors")
}

// wantEvents are the events of one container with one exec. The shim sends them
// to the daemon over ttrpc, where it is the client.
var wantEvents = []string{
	"/tasks/create", "/tasks/start", "/tasks/exec-added", "/tasks/exec-started",
	"/tasks/exit", "/tasks/exit", "/tasks/delete",
}

func stepEvents(ctx context.Context, e *env) (string, error) {
	listenCtx, stop := context.WithCancel(ctx)
	defer stop()
	cmd := e.ctrCommand(listenCtx, "events")
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		return "", err
	}
	if err := cmd.Start(); err != nil {
		return "", err
	}
	events := make(chan string)
	go func() {
		defer close(events)
		lines := bufio.NewScanner(pipe)
		for lines.Scan() {
			select {
			case events <- lines.Text():
			case <-listenCtx.Done():
				return
			}
		}
	}()
	defer func() {
		stop()
		cmd.Wait()
	}()
	if err := e.listening(ctx, events); err != nil {
		return "", err
	}
	if _, err := e.start(ctx, "events", "sleep", "1000"); err != nil {
		return "", err
	}
	if err := e.exec(ctx, "events", "one", "true").wantOutput(0, "", ""); err != nil {
		return "", err
	}
	if err := e.killAndRemove(ctx, "events"); err != nil {
		return "", err
	}
	want := wantEvents
	if releaseOf(e.job.Pairing.Shim).losesDelete {
		want = want[:len(want)-1]
	}
	var got []string
	timeout := time.After(patience)
	for len(got) < len(want) {
		select {
		case line := <-events:
			f := strings.Fields(line)
			for _, field := range f {
				if strings.HasPrefix(field, "/tasks/") {
					got = append(got, field)
				}
			}
		case <-timeout:
			return "", fmt.Errorf("got events %v, want %v", got, want)
		}
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		return "", fmt.Errorf("got events %v, want %v", got, want)
	}
	return fmt.Sprint(len(got), " events in order"), nil
}

// listening makes events of its own until one arrives: ctr does not say when it
// has subscribed.
func (e *env) listening(ctx context.Context, events <-chan string) error {
	return until(ctx, "ctr to listen for events", func() (bool, error) {
		label := fmt.Sprint("probe=", time.Now().UnixNano())
		if err := e.ctr(ctx, "namespaces", "label", e.job.Namespace, label).want(0); err != nil {
			return false, err
		}
		select {
		case _, ok := <-events:
			if !ok {
				return false, fmt.Errorf("ctr events ended")
			}
			return true, nil
		case <-time.After(100 * time.Millisecond):
			return false, nil
		}
	})
}
