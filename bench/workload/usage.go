package workload

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"syscall"
)

// Usage is what one process has used so far.
type Usage struct {
	CPU     int64 // nanoseconds, user and system
	Mallocs uint64
	Bytes   uint64 // allocated
}

func readUsage() (Usage, error) {
	var ru syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &ru); err != nil {
		return Usage{}, fmt.Errorf("read CPU time: %w", err)
	}
	var ms runtime.MemStats
	runtime.ReadMemStats(&ms)
	return Usage{
		CPU:     ru.Utime.Nano() + ru.Stime.Nano(),
		Mallocs: ms.Mallocs,
		Bytes:   ms.TotalAlloc,
	}, nil
}

// Memory is what one process holds when all garbage was given back.
type Memory struct {
	RSS        int64 // bytes
	Goroutines int
}

func readMemory() (Memory, error) {
	// A sync.Pool is empty only after its second collection.
	for range 3 {
		runtime.GC()
	}
	debug.FreeOSMemory()
	rss, err := RSS(os.Getpid())
	return Memory{RSS: rss, Goroutines: runtime.NumGoroutine()}, err
}

// RSS returns the resident memory of a process in bytes. It reads smaps_rollup,
// which counts pages: VmRSS in status may lag by some hundred of them for each
// core.
func RSS(pid int) (int64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return 0, fmt.Errorf("read resident memory: %w", err)
	}
	for line := range bytes.Lines(b) {
		f := bytes.Fields(line)
		if len(f) == 3 && string(f[0]) == "Rss:" {
			kb, err := strconv.ParseInt(string(f[1]), 10, 64)
			return kb << 10, err
		}
	}
	return 0, fmt.Errorf("no Rss in smaps_rollup of process %d", pid)
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
