package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// interval is the time of one fault.
type interval struct {
	kind faultKind
	id   string    // the container of the shim, for kinds that are ofShim
	from time.Time // just before it began
	to   time.Time // zero while it lasts
}

// faultLog remembers all faults, so that an error can be told from one without any cause.
type faultLog struct {
	mu   sync.Mutex
	list []*interval
}

// begin notes a fault. The caller calls end when it is taken away.
func (l *faultLog) begin(kind faultKind, id string) (end func()) {
	in := &interval{kind: kind, id: id, from: time.Now()}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.list = append(l.list, in)
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		in.to = time.Now()
	}
}

// touching returns the kinds of the faults between two times that a container can have
// felt: those of its shim, of the daemon and of the disks.
func (l *faultLog) touching(id string, from, to time.Time) []faultKind {
	l.mu.Lock()
	defer l.mu.Unlock()
	var kinds []faultKind
	for _, in := range l.list {
		if in.kind.ofShim() && in.id != id {
			continue
		}
		if in.from.After(to) || !in.to.IsZero() && in.to.Before(from) {
			continue
		}
		if !slices.Contains(kinds, in.kind) {
			kinds = append(kinds, in.kind)
		}
	}
	return kinds
}

// counts returns how many faults of each kind there were.
func (l *faultLog) counts() map[faultKind]int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := make(map[faultKind]int)
	for _, in := range l.list {
		n[in.kind]++
	}
	return n
}

// inject lets one fault happen and takes it away.
func (c *chaos) inject(ctx context.Context, f fault) error {
	switch f.kind {
	case daemonStopped:
		return c.pause(f, "", c.daemonPid())
	case daemonLimited:
		return c.starve(f, "", c.daemonPid())
	case daemonKilled, daemonTerminated:
		return c.replaceDaemon(ctx, f)
	case rootFull:
		return c.fill(f, c.rootDir())
	case stateFull:
		return c.fill(f, c.stateDir())
	case runFull:
		return c.fill(f, containerdRun)
	}
	shims, err := c.shims()
	if err != nil || len(shims) == 0 {
		return err // there was no shim to strike
	}
	s := shims[f.pick%len(shims)]
	switch f.kind {
	case shimStopped:
		return c.pause(f, s.id, s.pid)
	case shimLimited:
		return c.starve(f, s.id, s.pid)
	case shimKilled:
		return c.strike(f, s, syscall.SIGKILL)
	case shimTerminated:
		return c.strike(f, s, syscall.SIGTERM)
	}
	panic("BUG: unknown fault " + f.kind)
}

// ignoreGone drops the error of a process that has ended meanwhile, as another fault or
// its container's end may have it.
func ignoreGone(err error) error {
	if errors.Is(err, syscall.ESRCH) || errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

// pause stops a process and continues it.
func (c *chaos) pause(f fault, id string, pid int) error {
	defer c.faults.begin(f.kind, id)()
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		return ignoreGone(err)
	}
	time.Sleep(f.hold)
	return ignoreGone(syscall.Kill(pid, syscall.SIGCONT))
}

// starve leaves a process few descriptors, and then gives it its limit back.
func (c *chaos) starve(f fault, id string, pid int) error {
	defer c.faults.begin(f.kind, id)()
	fds, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		return ignoreGone(err)
	}
	before, err := limitDescriptors(pid, uint64(len(fds)+f.spare))
	if err != nil {
		return ignoreGone(err)
	}
	time.Sleep(f.hold)
	_, err = limitDescriptors(pid, before)
	return ignoreGone(err)
}

// strike ends a shim. The daemon removes its container.
func (c *chaos) strike(f fault, s shimProcess, signal syscall.Signal) error {
	defer c.faults.begin(f.kind, s.id)()
	return ignoreGone(syscall.Kill(s.pid, signal))
}

// fill leaves no space in a file system, and then frees it.
func (c *chaos) fill(f fault, dir string) error {
	defer c.faults.begin(f.kind, "")()
	name := filepath.Join(dir, ballast)
	err := fillDisk(name)
	time.Sleep(f.hold)
	return errors.Join(err, os.Remove(name))
}

// ballast is the name of the file that fills a disk.
const ballast = "chaos-ballast"

// fillDisk writes a file until there is no space, in pieces that get smaller.
func fillDisk(name string) error {
	file, err := os.Create(name)
	if err != nil {
		return err
	}
	defer file.Close()
	piece := make([]byte, 1<<20)
	for len(piece) > 0 {
		_, err := file.Write(piece)
		switch {
		case errors.Is(err, syscall.ENOSPC):
			piece = piece[:len(piece)/2]
		case err != nil:
			return err
		}
	}
	return nil
}

// shimProcess is a shim that serves a container.
type shimProcess struct {
	id  string
	pid int
}

// idPattern is the form of a container's id.
var idPattern = regexp.MustCompile(`chaos-[0-9]+`)

// shims lists those that run, without the short-lived helpers "start" and "delete".
func (c *chaos) shims() ([]shimProcess, error) {
	all, err := processes()
	if err != nil {
		return nil, err
	}
	var list []shimProcess
	for _, p := range all {
		id := idPattern.FindString(p.cmdline)
		helper := strings.HasSuffix(p.cmdline, " start") || strings.HasSuffix(p.cmdline, " delete")
		if p.name == "containerd-shim" && id != "" && !helper {
			list = append(list, shimProcess{id, p.pid})
		}
	}
	return list, nil
}
