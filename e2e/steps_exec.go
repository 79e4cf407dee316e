package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// execArgs are the arguments of an exec in the foreground.
func execArgs(id, execID string) []string {
	return []string{"task", "exec", "--exec-id", execID, id}
}

// exec runs a command in a running container.
func (e *env) exec(ctx context.Context, id, execID string, args ...string) ctrResult {
	return e.ctr(ctx, append(execArgs(id, execID), args...)...)
}

func stepExec(ctx context.Context, e *env) (string, error) {
	if _, err := e.start(ctx, "exec", "sleep", "1000"); err != nil {
		return "", err
	}
	for _, code := range []int{0, 3, 255} {
		err := script{
			ctr:    execArgs("exec", "code"),
			text:   "echo out; echo err >&2",
			stdout: "out\n",
			stderr: "err\n",
			code:   code,
		}.want(ctx, e)
		if err != nil {
			return "", err
		}
	}
	// The end of the input reaches cat through the shim's CloseIO.
	err := script{ctr: execArgs("exec", "stdin"), text: "cat", input: "line\n", stdout: "line\n"}.want(ctx, e)
	if err != nil {
		return "", err
	}
	r := e.exec(ctx, "exec", "nosuch", "/bin/nosuch")
	if err := r.wantError("OCI runtime exec failed: exec failed: unable to start container process: " +
		`exec: "/bin/nosuch": stat /bin/nosuch: no such file or directory: unknown`); err != nil {
		return "", err
	}
	return "", e.killAndRemove(ctx, "exec")
}

// stepExecMany holds twenty execs open at once on one shim: twenty waits in
// flight on the daemon's one connection to it.
func stepExecMany(ctx context.Context, e *env) (string, error) {
	const n = 20
	if _, err := e.start(ctx, "many", "sleep", "1000"); err != nil {
		return "", err
	}
	done := make(chan error, 1)
	go func() {
		done <- parallel(n, func(i int) error {
			return script{
				ctr:    execArgs("many", fmt.Sprint("many-", i)),
				text:   fmt.Sprintf("touch /many-%d; while [ ! -e /many ]; do usleep 10000; done; echo %d", i, i),
				stdout: fmt.Sprintln(i),
				code:   i,
			}.want(ctx, e)
		})
	}()
	err := until(ctx, "twenty execs to run", func() (bool, error) {
		select {
		case err := <-done:
			return false, fmt.Errorf("execs ended before they were let go: %w", err)
		default:
		}
		running, err := filepath.Glob(e.inRootfs("many-*"))
		return len(running) == n, err
	})
	if err != nil {
		return "", err
	}
	if err := os.WriteFile(e.inRootfs("many"), nil, 0o644); err != nil {
		return "", err
	}
	if err := <-done; err != nil {
		return "", err
	}
	return "", e.killAndRemove(ctx, "many")
}

// stepExecLarge sends a request of a megabyte: the arguments of the process.
func stepExecLarge(ctx context.Context, e *env) (string, error) {
	if _, err := e.start(ctx, "large", "sleep", "1000"); err != nil {
		return "", err
	}
	// One argument or variable of a process is limited to 128 KiB by the kernel.
	const variables, size = 10, 100_000
	environment := []string{"env"}
	for i := range variables {
		environment = append(environment, fmt.Sprintf("LARGE%d=%s", i, strings.Repeat(strconv.Itoa(i), size)))
	}
	err := script{
		ctr:    execArgs("large", "large"),
		before: environment,
		text:   fmt.Sprintf("[ $(env | wc -c) -gt %d ] && echo all there", variables*size),
		stdout: "all there\n",
	}.want(ctx, e)
	if err != nil {
		return "", err
	}
	return "", e.killAndRemove(ctx, "large")
}

// ps returns the process ids that "ctr task ps" lists, sorted.
func (e *env) ps(ctx context.Context, id string) ([]int, error) {
	r := e.ctr(ctx, "task", "ps", id)
	if err := r.want(0); err != nil {
		return nil, err
	}
	var pids []int
	for _, line := range strings.Split(strings.TrimSpace(r.stdout), "\n")[1:] {
		var pid int
		if _, err := fmt.Sscan(line, &pid); err != nil {
			return nil, fmt.Errorf("odd line %q in %s", line, r)
		}
		pids = append(pids, pid)
	}
	slices.Sort(pids)
	return pids, nil
}

// stepPs compares the listed processes with those in the container's cgroup.
func stepPs(ctx context.Context, e *env) (string, error) {
	t, err := e.start(ctx, "ps", "sleep", "1000")
	if err != nil {
		return "", err
	}
	if pids, err := e.ps(ctx, "ps"); err != nil || !slices.Equal(pids, []int{t.pid}) {
		return "", fmt.Errorf("got %v, want %d (%v)", pids, t.pid, err)
	}
	for i := range 2 {
		r := e.ctr(ctx, "task", "exec", "-d", "--exec-id", fmt.Sprint("ps-", i), "ps", "sleep", "1000")
		if err := r.wantOutput(0, "", ""); err != nil {
			return "", err
		}
	}
	pids, err := e.ps(ctx, "ps")
	if err != nil {
		return "", err
	}
	inCgroup, err := e.cgroupProcesses("ps")
	if err != nil {
		return "", err
	}
	if len(pids) != 3 || !slices.Equal(pids, inCgroup) {
		return "", fmt.Errorf("got %v, in the cgroup are %v", pids, inCgroup)
	}
	return fmt.Sprint(len(pids), " processes"), e.killAndRemove(ctx, "ps")
}

// cgroupProcesses reads the process ids of a container from its cgroup, sorted.
func (e *env) cgroupProcesses(id string) ([]int, error) {
	for _, dir := range cgroupsOf(e.job.Namespace + "/" + id) {
		data, err := os.ReadFile(dir + "/cgroup.procs")
		if err != nil {
			return nil, err
		}
		if len(data) == 0 {
			continue // a hierarchy that runc did not use
		}
		var pids []int
		for _, field := range strings.Fields(string(data)) {
			pid, err := strconv.Atoi(field)
			if err != nil {
				return nil, err
			}
			pids = append(pids, pid)
		}
		slices.Sort(pids)
		return pids, nil
	}
	return nil, fmt.Errorf("no cgroup of %s with processes", id)
}
