package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Kinds of things that containers leave. An operator removes the first by ctr's force.
const (
	remainTask      = "task, removed by force"
	remainShim      = "shim process"
	remainProcess   = "process of a container or runc"
	remainRunc      = "state of runc"
	remainMount     = "mount"
	remainCgroup    = "cgroup"
	remainBundle    = "bundle"
	remainWork      = "work directory"
	remainSocket    = "socket file"
	remainFifo      = "directory of fifos"
	remainTemporary = "temporary file"
)

var remainKinds = []string{
	remainTask, remainShim, remainProcess, remainRunc, remainMount, remainCgroup,
	remainBundle, remainWork, remainSocket, remainFifo, remainTemporary,
}

// remain is a thing that a container left.
type remain struct {
	kind   string
	id     string // of the container, if it can be told
	name   string
	remove func(context.Context) error
}

// remains lists the things that are left of all containers, in the order in which an
// operator removes them. The daemon, this process and process 1 are none.
func (c *chaos) remains() ([]remain, error) {
	list, err := c.processRemains()
	if err != nil {
		return nil, err
	}
	now, err := mounts()
	if err != nil {
		return nil, err
	}
	for _, m := range now {
		if !slices.Contains(c.mountsBefore, m) {
			point, _, _ := strings.Cut(m, " ")
			list = append(list, remain{remainMount, idPattern.FindString(m), m, func(context.Context) error {
				return unmount(point)
			}})
		}
	}
	list = append(list, c.fileRemains()...)
	for _, root := range cgroupsOf(c.job.Namespace) {
		dirs := directoriesUnder(root)[1:]
		slices.Reverse(dirs)
		for _, dir := range dirs {
			list = append(list, remain{remainCgroup, idPattern.FindString(dir), dir, func(context.Context) error {
				return os.Remove(dir)
			}})
		}
	}
	return list, nil
}

func (c *chaos) processRemains() ([]remain, error) {
	all, err := processes()
	if err != nil {
		return nil, err
	}
	var list []remain
	for _, p := range all {
		if p.pid == 1 || p.pid == os.Getpid() || p.name == "containerd" || p.name == "ctr" {
			continue
		}
		id := idPattern.FindString(p.cmdline)
		if id == "" {
			// An init of runc, or a child in the container.
			cgroup, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", p.pid))
			id = idPattern.FindString(string(cgroup))
		}
		kind := remainProcess
		if p.name == "containerd-shim" {
			kind = remainShim
		}
		list = append(list, remain{kind, id, p.String(), func(context.Context) error {
			return ignoreGone(syscall.Kill(p.pid, syscall.SIGKILL))
		}})
	}
	return list, nil
}

// fileRemains looks into the directories that containerd, its shims, runc and ctr use.
func (c *chaos) fileRemains() []remain {
	runcRoot := filepath.Join(containerdRun, "runc", c.job.Namespace)
	tasks := filepath.Join("io.containerd.runtime.v2.task", c.job.Namespace)
	var list []remain
	for _, place := range []struct{ kind, dir string }{
		{remainRunc, runcRoot},
		{remainBundle, filepath.Join(c.stateDir(), tasks)},
		{remainWork, filepath.Join(c.rootDir(), tasks)},
		{remainSocket, filepath.Join(containerdRun, "s")},
		{remainFifo, filepath.Join(containerdRun, "fifo")},
		{remainTemporary, filepath.Join(c.dir, "tmp")},
	} {
		entries, _ := os.ReadDir(place.dir) // there may be none
		for _, entry := range entries {
			path := filepath.Join(place.dir, entry.Name())
			list = append(list, remain{place.kind, c.idOf(path), path, func(ctx context.Context) error {
				if place.kind == remainRunc {
					// It kills the container's processes and removes its cgroups, too.
					command(ctx, "", c.job.Tools.Runc, "--root", runcRoot, "delete", "--force", entry.Name())
				}
				return os.RemoveAll(path)
			}})
		}
	}
	return list
}

// idOf finds the container that a file belongs to, by its name, the names of the files in
// it, or for a socket by the hash in its name.
func (c *chaos) idOf(path string) string {
	if id := idPattern.FindString(path); id != "" {
		return id
	}
	entries, _ := os.ReadDir(path)
	for _, entry := range entries {
		if id := idPattern.FindString(entry.Name()); id != "" {
			return id
		}
	}
	return c.socketIDs()[filepath.Base(path)]
}

// socketIDs maps the names of shims' socket files to containers.
func (c *chaos) socketIDs() map[string]string {
	ids := make(map[string]string)
	for n := range c.ids.Load() {
		id := fmt.Sprint("chaos-", n+1)
		for _, name := range c.shimSockets(id) {
			ids[name] = id
		}
	}
	return ids
}

// cleanUp removes the things that faults left, as an operator does, and counts them. A
// thing of a container that no fault struck is a failure. The daemon and shims get time
// to clean up by themselves first.
func (c *chaos) cleanUp(ctx context.Context) error {
	const rest, pause, most = 15 * time.Second, time.Second, 20
	list, err := c.remainsAfter(rest)
	for round := 0; err == nil && len(list) > 0 && round < most; round++ {
		// One kind at a time: the end of a shim lets others go.
		for _, r := range list {
			if r.kind == list[0].kind {
				c.cleanOne(ctx, r)
			}
		}
		list, err = c.remainsAfter(pause)
	}
	return err
}

func (c *chaos) cleanOne(ctx context.Context, r remain) {
	c.ledger.change(func() { c.ledger.cleaned[r.kind]++ })
	rec := c.ledger.byID[r.id] // no container begins any more
	var touched []faultKind
	if rec != nil {
		touched = c.faults.touching(r.id, rec.from, rec.to)
	}
	ofNone := r.kind == remainFifo || strings.HasPrefix(filepath.Base(r.name), "runc-process")
	switch {
	case rec == nil && ofNone:
		// Directories of ctr before it has a fifo in them, and a file by which the shim
		// hands an exec to runc, are without an id.
	case !slices.ContainsFunc(touched, harms):
		c.fail("left", "left of %s, which no fault struck (%v): %s %s", r.id, touched, r.kind, r.name)
	case r.kind != remainSocket && r.kind != remainCgroup:
		c.note("left of %s (%v): %s %s", r.id, touched, r.kind, r.name)
	}
	if err := r.remove(ctx); err != nil {
		c.note("%s %s: %v", r.kind, r.name, err)
	}
}

// remainsAfter returns the remains once there are none, or after a time.
func (c *chaos) remainsAfter(wait time.Duration) ([]remain, error) {
	deadline := time.Now().Add(wait)
	for {
		list, err := c.remains()
		if err != nil || len(list) == 0 || time.Now().After(deadline) {
			return list, err
		}
		time.Sleep(50 * time.Millisecond)
	}
}
