package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// snapshot lists, kind by kind, the things that containers leave behind after a
// failure. Two of them are compared.
type snapshot map[string][]string

// since lists the things of s that before had not.
func (s snapshot) since(before snapshot) []string {
	var added []string
	for _, kind := range s.kinds() {
		for _, entry := range s[kind] {
			if !slices.Contains(before[kind], entry) {
				added = append(added, kind+" "+entry)
			}
		}
	}
	return added
}

func (s snapshot) kinds() []string {
	var kinds []string
	for kind := range s {
		kinds = append(kinds, kind)
	}
	slices.Sort(kinds)
	return kinds
}

// String counts the entries of each kind.
func (s snapshot) String() string {
	var counts []string
	for _, kind := range s.kinds() {
		counts = append(counts, fmt.Sprintf("%s %d", kind, len(s[kind])))
	}
	return strings.Join(counts, ", ")
}

// takeSnapshot looks at the machine, outside any namespace of ours: processes
// as pgrep finds them, mounts, and cgroups and files that could be ours.
func takeSnapshot() (snapshot, error) {
	all, err := processes()
	if err != nil {
		return nil, err
	}
	s := snapshot{"process": nil, "mount": nil, "cgroup": nil, "file": nil}
	for _, p := range all {
		if p.isContainerd() || strings.Contains(p.cmdline, tempPrefix) {
			s["process"] = append(s["process"], p.String())
		}
	}
	if s["mount"], err = mounts(); err != nil {
		return nil, err
	}
	for _, root := range cgroupsOf(tempPrefix + "*") {
		s["cgroup"] = append(s["cgroup"], directoriesUnder(root)...)
	}
	for _, pattern := range []string{
		filepath.Join(os.TempDir(), tempPrefix+"*"),
		containerdRun,
		"/opt/containerd", "/var/lib/containerd", "/etc/containerd",
	} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			return nil, err
		}
		s["file"] = append(s["file"], found...)
	}
	return s, nil
}

// settledSnapshot retakes the snapshot until it equals before or time is up: a
// cgroup or a process may take a moment to go.
func settledSnapshot(before snapshot, wait time.Duration) (snapshot, error) {
	deadline := time.Now().Add(wait)
	for {
		s, err := takeSnapshot()
		if err != nil || len(s.since(before)) == 0 || time.Now().After(deadline) {
			return s, err
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// process is one entry of /proc.
type process struct {
	pid     int
	name    string
	cmdline string
}

func (p process) String() string { return fmt.Sprintf("%d %s (%s)", p.pid, p.name, p.cmdline) }

func (p process) isContainerd() bool {
	// A process name is cut to 15 bytes, so no shim shows more than this.
	return slices.Contains([]string{"containerd", "containerd-shim", "ctr", "runc"}, p.name) ||
		strings.HasPrefix(p.name, "runc:[")
}

// processes lists those of this PID namespace.
func processes() ([]process, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	var ps []process
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
		if err != nil {
			continue // it ended meanwhile
		}
		cmdline, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		ps = append(ps, process{
			pid:     pid,
			name:    strings.TrimSpace(string(name)),
			cmdline: strings.TrimSpace(strings.ReplaceAll(string(cmdline), "\x00", " ")),
		})
	}
	return ps, nil
}

// mounts lists this namespace's mounts as "point type source".
func mounts() ([]string, error) {
	data, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return nil, err
	}
	var list []string
	for _, line := range strings.Split(strings.TrimSpace(string(data)), "\n") {
		f := strings.Fields(line)
		if len(f) < 3 {
			return nil, fmt.Errorf("/proc/self/mounts: odd line %q", line)
		}
		list = append(list, f[1]+" "+f[2]+" "+f[0])
	}
	return list, nil
}

// cgroupsOf returns the cgroup directories of a containerd namespace, in every
// hierarchy: one with cgroups v2, one a controller with v1.
func cgroupsOf(namespace string) []string {
	var dirs []string
	for _, hierarchy := range []string{"", "*"} {
		// Glob fails on a bad pattern only, and this is none.
		found, _ := filepath.Glob(filepath.Join(cgroupRoot, hierarchy, namespace))
		dirs = append(dirs, found...)
	}
	return dirs
}

// directoriesUnder lists root and the directories below it, parents first.
func directoriesUnder(root string) []string {
	var dirs []string
	filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			dirs = append(dirs, path)
		}
		return nil // a file that vanished meanwhile is of no interest
	})
	return dirs
}
