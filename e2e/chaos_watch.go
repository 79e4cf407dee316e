package main

import (
	"bufio"
	"context"
	"encoding/json"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// follower reads the daemon's events all the time, with a new ctr for each daemon.
type follower struct {
	heard atomic.Bool // the present ctr has had an event, and misses none from there
	ended chan struct{}
}

// listens reports whether every event from now on arrives, unless a fault intervenes.
func (f *follower) listens() bool { return f.heard.Load() }

// follow starts a follower, which ends with ctx. Exit events go to the ledger.
func (c *chaos) follow(ctx context.Context) *follower {
	f := &follower{ended: make(chan struct{})}
	go func() {
		defer close(f.ended)
		for ctx.Err() == nil {
			c.followOnce(ctx, f)
			f.heard.Store(false)
			time.Sleep(50 * time.Millisecond)
		}
	}()
	return f
}

func (c *chaos) followOnce(ctx context.Context, f *follower) {
	cmd := c.ctrCommand(ctx, "events")
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGKILL) }
	pipe, err := cmd.StdoutPipe()
	if err != nil || cmd.Start() != nil {
		return
	}
	lines := bufio.NewScanner(pipe)
	for lines.Scan() {
		f.heard.Store(true)
		if id := exitOf(lines.Text()); id != "" {
			c.ledger.exited(id)
		}
	}
	cmd.Wait()
}

// exitOf returns the container that an event says has ended, or "". The exit of an exec
// is none.
func exitOf(line string) string {
	_, data, ok := strings.Cut(line, " /tasks/exit ")
	if !ok {
		return ""
	}
	var exit struct {
		ContainerID string `json:"container_id"`
		ID          string `json:"id"`
	}
	if json.Unmarshal([]byte(data), &exit) != nil || exit.ID != exit.ContainerID {
		return ""
	}
	return exit.ID
}

// supervise starts the daemon again if it ends by itself, which is a failure.
func (c *chaos) supervise(ctx context.Context, d *daemon) {
	<-d.exited
	c.daemonMu.Lock()
	defer c.daemonMu.Unlock()
	if c.daemon != d || c.stopping {
		return // a fault ended it
	}
	c.fail("daemon", "the daemon ended by itself: %v", d.err)
	defer c.faults.begin(daemonCrashed, "")()
	c.restart(ctx)
}

// daemonPid returns the process of the present daemon.
func (c *chaos) daemonPid() int {
	c.daemonMu.Lock()
	defer c.daemonMu.Unlock()
	return c.daemon.cmd.Process.Pid
}

// replaceDaemon ends the daemon and starts it again.
func (c *chaos) replaceDaemon(ctx context.Context, f fault) error {
	c.daemonMu.Lock()
	defer c.daemonMu.Unlock()
	defer c.faults.begin(f.kind, "")()
	old := c.daemon
	c.stopping = true
	defer func() { c.stopping = false }()
	if f.kind == daemonTerminated {
		stopCtx, cancel := context.WithTimeout(ctx, commandLimit)
		defer cancel()
		if err := old.stop(stopCtx); err != nil {
			c.fail("daemon", "terminating the daemon: %v", err)
		}
	}
	old.kill()
	time.Sleep(f.hold / 3)
	c.restart(ctx)
	return nil
}

// restart starts the daemon, as an init system does, until it stays. The caller holds
// daemonMu.
func (c *chaos) restart(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, commandLimit)
	defer cancel()
	for {
		err := c.startDaemon(ctx)
		if err == nil {
			break
		}
		c.daemon.kill()
		if ctx.Err() != nil {
			c.fail("daemon", "the daemon does not start again: %v", err)
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	go c.supervise(context.WithoutCancel(ctx), c.daemon)
}
