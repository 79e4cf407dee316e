package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

const namespaceFlags = syscall.CLONE_NEWNS | syscall.CLONE_NEWPID

func checkPlatform() error {
	if os.Geteuid() != 0 {
		return errors.New("not root: containers need mounts, namespaces and cgroups")
	}
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return err
	}
	if !strings.Contains(string(mounts), " "+cgroupRoot+" cgroup2 ") &&
		!strings.Contains(string(mounts), " "+cgroupRoot+"/memory") {
		return errors.New("no cgroups are mounted on " + cgroupRoot)
	}
	cmd := exec.Command("/proc/self/exe", "-h")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: namespaceFlags}
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("no new mount and PID namespaces: %w", err)
	}
	return nil
}

// lock keeps two runs on one machine apart: their figures and their comparisons
// of before and after would disturb each other. It locks the directory /run
// itself, which leaves no file.
func lock(ctx context.Context) (func(), error) {
	dir, err := os.Open("/run")
	if err != nil {
		return nil, err
	}
	said := false
	for {
		err := syscall.Flock(int(dir.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return func() { dir.Close() }, nil
		}
		if err != syscall.EWOULDBLOCK {
			dir.Close()
			return nil, fmt.Errorf("locking /run: %w", err)
		}
		if !said {
			fmt.Println("waiting for another run to end")
			said = true
		}
		select {
		case <-ctx.Done():
			dir.Close()
			return nil, context.Cause(ctx)
		case <-time.After(time.Second):
		}
	}
}

// removeStale removes the remains of a run that was killed before it could clean up.
// Under the lock everything that bears our name is stale.
func removeStale() error {
	if err := removeCgroups(tempPrefix + "*"); err != nil {
		return err
	}
	dirs, err := filepath.Glob(filepath.Join(os.TempDir(), tempPrefix+"*"))
	if err != nil {
		return err
	}
	for _, dir := range dirs {
		fmt.Println("removing", dir, "of an earlier run")
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
	}
	return nil
}

// runJob runs j in namespaces of its own, and cleans up. Logs of a failure are
// kept in the build directory under name.
func runJob(ctx context.Context, o options, j job, name string) (r result) {
	defer func() { r.Pairing = j.Pairing }()
	dir, err := os.MkdirTemp("", tempPrefix)
	if err != nil {
		return result{Err: err.Error()}
	}
	j.Dir = dir
	j.Namespace = filepath.Base(dir)
	var problems []string
	fail := func(err error) {
		if err != nil {
			problems = append(problems, err.Error())
		}
	}
	fail(startInit(ctx, j))
	if err := readJSON(filepath.Join(dir, "result.json"), &r); err != nil {
		problems = append(problems, "the driver left no result: "+err.Error())
	}
	fail(removeCgroups(j.Namespace))
	if o.keepLogs || len(problems) > 0 || r.failures() != "" {
		fail(keepLogs(dir, filepath.Join(o.build, "logs", name)))
	}
	fail(os.RemoveAll(dir))
	if r.Err != "" {
		problems = append(problems, r.Err)
	}
	r.Err = strings.Join(problems, "; ")
	return r
}

// startInit runs init and returns when all of its namespace is gone.
func startInit(ctx context.Context, j job) error {
	for _, dir := range []string{"run", "log"} {
		if err := os.Mkdir(filepath.Join(j.Dir, dir), 0o755); err != nil {
			return err
		}
	}
	if err := os.Mkdir(containerdRun, 0o711); err == nil {
		// The mount point was not there; it is empty outside the namespace.
		defer os.Remove(containerdRun)
	} else if !errors.Is(err, fs.ErrExist) {
		return err
	}
	path := filepath.Join(j.Dir, "job.json")
	if err := writeJSON(path, j); err != nil {
		return err
	}
	// Pdeathsig is sent when the thread that started the child ends.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd := exec.CommandContext(ctx, "/proc/self/exe", roleInit, path)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: namespaceFlags,
		Pdeathsig:  syscall.SIGKILL,
		Setpgid:    true, // an interrupt at the terminal goes to the outer process alone
	}
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("driver: %w", err)
	}
	return nil
}

// initMain is process 1 of the namespace. Like any init it reaps orphans: shims
// are orphans by design.
func initMain(path string) int {
	var j job
	if err := readJSON(path, &j); err != nil {
		fmt.Fprintln(os.Stderr, "init:", err)
		return exitFailed
	}
	if err := privateMounts(j); err != nil {
		fmt.Fprintln(os.Stderr, "init:", err)
		return exitFailed
	}
	driver, err := os.StartProcess("/proc/self/exe", []string{os.Args[0], roleDrive, path}, &os.ProcAttr{
		Files: []*os.File{os.Stdin, os.Stdout, os.Stderr},
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, "init:", err)
		return exitFailed
	}
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, 0, nil)
		switch {
		case err == syscall.EINTR:
		case err != nil:
			fmt.Fprintln(os.Stderr, "init: wait:", err)
			return exitFailed
		case pid == driver.Pid && status.Exited():
			return status.ExitStatus()
		case pid == driver.Pid:
			fmt.Fprintln(os.Stderr, "init: the driver was ended by signal", status.Signal())
			return exitFailed
		}
	}
}

func privateMounts(j job) error {
	for _, m := range []struct {
		source, target, fstype string
		flags                  uintptr
	}{
		{"", "/", "", syscall.MS_REC | syscall.MS_PRIVATE},
		{"proc", "/proc", "proc", syscall.MS_NOSUID | syscall.MS_NODEV | syscall.MS_NOEXEC},
		{"tmpfs", containerdRun, "tmpfs", 0},
		{"tmpfs", filepath.Join(j.Dir, "run"), "tmpfs", 0},
	} {
		if err := syscall.Mount(m.source, m.target, m.fstype, m.flags, ""); err != nil {
			return fmt.Errorf("mount %s: %w", m.target, err)
		}
	}
	return nil
}

// removeCgroups removes the cgroups of a containerd namespace. Their processes are dead, but
// a cgroup stays busy for a moment after its last process.
func removeCgroups(namespace string) error {
	deadline := time.Now().Add(30 * time.Second)
	for {
		var failed error
		for _, root := range cgroupsOf(namespace) {
			dirs := directoriesUnder(root)
			for i := len(dirs) - 1; i >= 0; i-- {
				if err := os.Remove(dirs[i]); err != nil && !errors.Is(err, fs.ErrNotExist) {
					failed = err
				}
			}
		}
		if failed == nil || time.Now().After(deadline) {
			return failed
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// keepLogs moves the logs of a failed job to where a reader finds them.
func keepLogs(dir, to string) error {
	if err := os.RemoveAll(to); err != nil {
		return err
	}
	if err := os.CopyFS(to, os.DirFS(filepath.Join(dir, "log"))); err != nil {
		return err
	}
	fmt.Println("logs kept in", to)
	return nil
}
