//go:build unix

package workload

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"syscall"
)

func cpuTime() (int64, error) {
	var ru syscall.Rusage
	err := syscall.Getrusage(syscall.RUSAGE_SELF, &ru)
	return ru.Utime.Nano() + ru.Stime.Nano(), err
}

// RSS returns the resident memory of a process in bytes. It reads smaps_rollup,
// which counts pages: VmRSS in status may lag by some hundred of them for each
// core.
func RSS(pid int) (int64, error) { return residentPart(pid, "Rss:") }

// Anonymous returns the part of a process's resident memory that is not mapped
// from its program's file, in bytes: processes of one program share only the
// file.
func Anonymous(pid int) (int64, error) { return residentPart(pid, "Anonymous:") }

func residentPart(pid int, name string) (int64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return 0, fmt.Errorf("read resident memory: %w", err)
	}
	for line := range bytes.Lines(b) {
		f := bytes.Fields(line)
		if len(f) == 3 && string(f[0]) == name {
			kb, err := strconv.ParseInt(string(f[1]), 10, 64)
			return kb << 10, err
		}
	}
	return 0, fmt.Errorf("no %s in smaps_rollup of process %d", name, pid)
}

// raiseFileLimit allows as many open files as this process may have.
func raiseFileLimit() error {
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
		return fmt.Errorf("read the limit of open files: %w", err)
	}
	l.Cur = l.Max
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
		return fmt.Errorf("raise the limit of open files: %w", err)
	}
	return nil
}
