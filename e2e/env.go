package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// env is where the steps of one job run. The driver makes it inside the
// namespaces.
type env struct {
	job    job
	dir    string // tmpfs: state, sockets, root file system
	bin    string // links to the pairing's programs, first in PATH
	rootfs string // shared by all containers
	daemon *daemon

	// killedShims are the ids of containers whose shim a step killed. Such a
	// shim leaves its sockets' files.
	killedShims []string

	acks atomic.Int64 // numbers the files of script.want

	mountsBefore []string
	baseline     footprint // of a daemon that has run a container and holds none
}

// applets are the commands of the containers' root file system.
var applets = []string{"cat", "echo", "env", "false", "kill", "seq", "sh", "sleep", "touch", "true", "usleep", "wc"}

func newEnv(j job) (*env, error) {
	e := &env{job: j, dir: filepath.Join(j.Dir, "run")}
	e.bin = filepath.Join(e.dir, "bin")
	e.rootfs = filepath.Join(e.dir, "rootfs")
	for _, dir := range []string{e.bin, filepath.Join(e.rootfs, "bin"), filepath.Join(e.rootfs, "tmp"), filepath.Join(e.dir, "tmp")} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, err
		}
	}
	links := map[string]string{"runc": j.Tools.Runc}
	for program, variant := range map[string]string{
		"containerd":              j.Pairing.Daemon,
		"ctr":                     j.Pairing.Daemon,
		"containerd-shim-runc-v2": j.Pairing.Shim,
	} {
		links[program] = filepath.Join(j.Tools.Bin[variant], program)
	}
	for name, target := range links {
		if err := os.Symlink(target, filepath.Join(e.bin, name)); err != nil {
			return nil, err
		}
	}
	busybox, err := os.ReadFile(j.Tools.Busybox)
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(e.rootfs, "bin/busybox"), busybox, 0o755); err != nil {
		return nil, err
	}
	for _, applet := range applets {
		if err := os.Symlink("busybox", filepath.Join(e.rootfs, "bin", applet)); err != nil {
			return nil, err
		}
	}
	e.mountsBefore, err = mounts()
	return e, err
}

// environ is the environment of the daemon and ctr, and so of shims and runc.
func (e *env) environ() []string {
	return []string{
		"PATH=" + e.bin + ":/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"HOME=" + e.dir,
		"TMPDIR=" + filepath.Join(e.dir, "tmp"),
		"CONTAINERD_SUPPRESS_DEPRECATION_WARNINGS=1", // ctr 2 warns of cgroups v1
	}
}

func (e *env) logPath(name string) string { return filepath.Join(e.job.Dir, "log", name) }

// inRootfs is the path, for the driver, of a file in the containers' root.
func (e *env) inRootfs(name string) string { return filepath.Join(e.rootfs, name) }

// until polls a condition until it is true. Each step waits for other processes in
// this way; ctx bounds it.
func until(ctx context.Context, what string, done func() (bool, error)) error {
	for {
		ok, err := done()
		if err != nil {
			return err
		}
		if ok {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w waiting for %s: %w", errHung, what, ctx.Err())
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// untilFile waits until a container has made a file in its root.
func (e *env) untilFile(ctx context.Context, name string) error {
	return until(ctx, "file "+name, func() (bool, error) {
		_, err := os.Stat(e.inRootfs(name))
		return err == nil, nil
	})
}

// start runs a detached container and checks that its shim is the pairing's.
func (e *env) start(ctx context.Context, id string, args ...string) (task, error) {
	if err := e.startUnchecked(ctx, id, args...); err != nil {
		return task{}, err
	}
	t, err := e.wantStatus(ctx, id, "RUNNING")
	if err != nil {
		return t, err
	}
	_, err = e.shimOf(t)
	return t, err
}

func (e *env) startUnchecked(ctx context.Context, id string, args ...string) error {
	run := []string{"run", "-d", "--null-io", "--env", "PATH=/bin", "--rootfs", e.rootfs, id}
	return e.ctr(ctx, append(run, args...)...).wantOutput(0, "", "")
}

// shimOf returns the process id of the task's shim: its parent.
func (e *env) shimOf(t task) (int, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", t.pid))
	if err != nil {
		return 0, err
	}
	var ppid int
	_, after, _ := strings.Cut(string(status), "\nPPid:")
	if _, err := fmt.Sscan(after, &ppid); err != nil {
		return 0, fmt.Errorf("/proc/%d/status: %w", t.pid, err)
	}
	return ppid, e.checkExe(ppid, e.job.Pairing.Shim, "containerd-shim-runc-v2")
}

// checkExe checks that a process runs the program of that variant.
func (e *env) checkExe(pid int, variant, program string) error {
	want := filepath.Join(e.job.Tools.Bin[variant], program)
	got, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
	if err != nil {
		return err
	}
	if got != want {
		return fmt.Errorf("process %d runs %s, want %s", pid, got, want)
	}
	return nil
}

// killAndRemove ends a task with SIGKILL and removes the container, as users do:
// kill, delete the task once it has stopped, delete the container.
func (e *env) killAndRemove(ctx context.Context, id string) error {
	if err := e.ctr(ctx, "task", "kill", "-s", "SIGKILL", id).wantOutput(0, "", ""); err != nil {
		return err
	}
	var r ctrResult
	err := until(ctx, id+" to stop", func() (bool, error) {
		r = e.ctr(ctx, "task", "rm", id)
		stopped := !strings.Contains(r.stderr, "task must be stopped before deletion")
		return stopped, r.err
	})
	if err != nil {
		return err
	}
	if err := r.want(0); err != nil {
		return err
	}
	// ctr reports a non-zero status of the task in a warning only.
	if want := "exit with non-zero exit code 137"; !strings.Contains(r.stderr, want) {
		return fmt.Errorf("want %q (%s)", want, r)
	}
	return e.ctr(ctx, "container", "rm", id).wantOutput(0, "", "")
}

// sweep removes the remains of a failed step, so that the next one starts clean, and
// returns the ids of the containers it found.
func (e *env) sweep(ctx context.Context) ([]string, error) {
	r := e.ctr(ctx, "container", "ls", "-q")
	if err := r.want(0); err != nil {
		return nil, err
	}
	ids := strings.Fields(r.stdout)
	for _, id := range ids {
		e.ctr(ctx, "task", "rm", "-f", id) // there may be no task
		if err := e.ctr(ctx, "container", "rm", id).want(0); err != nil {
			return ids, err
		}
	}
	return ids, nil
}

// leftovers lists things that are still in the namespaces once every container is
// removed and the daemon has stopped.
func (e *env) leftovers() ([]string, error) {
	var left []string
	all, err := processes()
	if err != nil {
		return nil, err
	}
	for _, p := range all {
		if p.pid != 1 && p.pid != os.Getpid() {
			left = append(left, "process "+p.String())
		}
	}
	now, err := mounts()
	if err != nil {
		return nil, err
	}
	left = append(left, snapshot{"mount": now}.since(snapshot{"mount": e.mountsBefore})...)
	for _, root := range cgroupsOf(e.job.Namespace) {
		// The parent, which runc makes and never removes, is ours to remove.
		for _, dir := range directoriesUnder(root)[1:] {
			left = append(left, "cgroup "+dir)
		}
	}
	for what, dir := range map[string]string{
		"shim socket": filepath.Join(containerdRun, "s"),
		"runc state":  filepath.Join(containerdRun, "runc", e.job.Namespace),
		"bundle":      filepath.Join(e.stateDir(), "io.containerd.runtime.v2.task", e.job.Namespace),
	} {
		entries, err := os.ReadDir(dir)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, err
		}
		for _, entry := range entries {
			if !slices.Contains(e.killedShimSockets(), entry.Name()) {
				left = append(left, what+" "+entry.Name())
			}
		}
	}
	return left, nil
}

// killedShimSockets are the file names of the sockets of killed shims. The shim of
// containerd 2 has one for debugging too.
func (e *env) killedShimSockets() []string {
	var names []string
	for _, id := range e.killedShims {
		names = append(names, e.shimSockets(id)...)
	}
	return names
}

// shimSockets are the file names of the sockets of a container's shim.
func (e *env) shimSockets(id string) []string {
	var names []string
	path := filepath.Join(e.socket(), e.job.Namespace, id)
	for _, path := range []string{path, filepath.Join(path, "debug")} {
		names = append(names, fmt.Sprintf("%x", sha256.Sum256([]byte(path))))
	}
	return names
}

// alive says whether a process exists; a zombie does not count.
func alive(pid int) bool {
	if syscall.Kill(pid, 0) != nil {
		return false
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	return err == nil && !strings.Contains(string(status), "\nState:\tZ")
}
