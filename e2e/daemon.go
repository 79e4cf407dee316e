package main

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// daemon is a running containerd. One step at a time uses it.
type daemon struct {
	cmd    *exec.Cmd
	exited chan struct{} // closed when the process has ended
	err    error         // the result of Wait; valid once exited is closed
}

const configTemplate = `version = 2
root = %[1]q
state = %[2]q
# CRI needs a network setup and images; the task service does not.
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
  address = %[3]q
[ttrpc]
  address = "%[4]s"
[debug]
  address = %[5]q
  level = %[6]q
[plugins."io.containerd.internal.v1.opt"]
  path = %[7]q
`

func (e *env) socket() string      { return filepath.Join(e.dir, "c.sock") }
func (e *env) debugSocket() string { return filepath.Join(e.dir, "debug.sock") }
func (e *env) rootDir() string     { return filepath.Join(e.dir, "root") }
func (e *env) stateDir() string    { return filepath.Join(e.dir, "state") }

// writeConfig writes the daemon's configuration: everything it keeps is inside
// the job's directory.
func (e *env) writeConfig(level string) error {
	return os.WriteFile(filepath.Join(e.dir, "config.toml"), fmt.Appendf(nil, configTemplate,
		e.rootDir(), e.stateDir(), e.socket(), e.socket()+".ttrpc",
		e.debugSocket(), level, filepath.Join(e.dir, "opt")), 0o644)
}

// startDaemon starts containerd and returns when it answers.
func (e *env) startDaemon(ctx context.Context) error {
	log, err := os.OpenFile(e.logPath("containerd.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	d := &daemon{exited: make(chan struct{})}
	d.cmd = exec.Command(filepath.Join(e.bin, "containerd"), "-c", filepath.Join(e.dir, "config.toml"))
	d.cmd.Env = e.environ()
	d.cmd.Stdout, d.cmd.Stderr = log, log
	if err := d.cmd.Start(); err != nil {
		return err
	}
	go func() {
		d.err = d.cmd.Wait()
		close(d.exited)
	}()
	e.daemon = d
	if err := e.checkExe(d.cmd.Process.Pid, e.job.Pairing.Daemon, "containerd"); err != nil {
		return err
	}
	return until(ctx, "the daemon to answer", func() (bool, error) {
		select {
		case <-d.exited:
			return false, fmt.Errorf("the daemon ended: %v", d.err)
		default:
		}
		r := e.ctr(ctx, "version")
		return r.code == 0, nil
	})
}

// stop ends the daemon with SIGTERM, as an init system does, and wants a clean
// exit.
func (d *daemon) stop(ctx context.Context) error {
	if err := d.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case <-d.exited:
		return d.err
	case <-ctx.Done():
		return fmt.Errorf("the daemon did not end on SIGTERM: %w", ctx.Err())
	}
}

// kill ends the daemon with SIGKILL and waits for it.
func (d *daemon) kill() {
	d.cmd.Process.Kill()
	<-d.exited
}

// footprint counts the resources of a daemon.
type footprint struct {
	Descriptors int
	Goroutines  int
}

func (f footprint) String() string {
	return fmt.Sprintf("%d descriptors, %d goroutines", f.Descriptors, f.Goroutines)
}

// footprint reads the daemon's descriptors from /proc and its goroutines from
// its debug socket.
func (e *env) footprint(ctx context.Context) (footprint, error) {
	var f footprint
	fds, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", e.daemon.cmd.Process.Pid))
	if err != nil {
		return f, err
	}
	f.Descriptors = len(fds)
	err = e.pprof(ctx, "goroutine?debug=1", func(line string) (bool, error) {
		count, ok := strings.CutPrefix(line, "goroutine profile: total ")
		if !ok {
			return false, fmt.Errorf("odd goroutine profile: %q", line)
		}
		f.Goroutines, err = strconv.Atoi(count)
		return false, err
	})
	return f, err
}

// settledFootprint waits until the daemon holds no more than limit allows, and
// returns the last footprint. Connections of ctr and of shims that just
// ended take a moment to go.
func (e *env) settledFootprint(ctx context.Context, limit footprint) (footprint, error) {
	var f footprint
	err := until(ctx, "the daemon to let go", func() (ok bool, err error) {
		f, err = e.footprint(ctx)
		return f.Descriptors <= limit.Descriptors && f.Goroutines <= limit.Goroutines, err
	})
	return f, err
}

// pprof gives the lines of a profile of the daemon to each, until it returns
// false.
func (e *env) pprof(ctx context.Context, profile string, each func(line string) (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	client := http.Client{Transport: &http.Transport{
		DisableKeepAlives: true, // the connection must not count among the daemon's own
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", e.debugSocket())
		},
	}}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://debug/debug/pprof/"+profile, nil)
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	lines := bufio.NewScanner(response.Body)
	for lines.Scan() {
		if more, err := each(lines.Text()); !more || err != nil {
			return err
		}
	}
	return lines.Err()
}

// dumpStacks writes the stacks of the daemon and of all shims to the logs, to
// explain a failed step.
func (e *env) dumpStacks(step string) {
	if e.daemon != nil {
		e.writeStacks(step)
	}
}

func (e *env) writeStacks(step string) {
	file, err := os.Create(e.logPath(strings.ReplaceAll(step, " ", "-") + ".goroutines"))
	if err != nil {
		return
	}
	defer file.Close()
	err = e.pprof(context.Background(), "goroutine?debug=2", func(line string) (bool, error) {
		_, err := fmt.Fprintln(file, line)
		return true, err
	})
	if err != nil {
		fmt.Fprintln(file, err)
	}
	// A shim answers SIGUSR1 with its stacks in the daemon's log.
	ps, _ := processes()
	for _, p := range ps {
		if p.name == "containerd-shim" {
			syscall.Kill(p.pid, syscall.SIGUSR1)
		}
	}
}
