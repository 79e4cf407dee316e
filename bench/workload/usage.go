package workload

import (
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
)

// Usage is the use of one process so far.
type Usage struct {
	CPU     int64 // nanoseconds, user and system
	Mallocs uint64
	Bytes   uint64 // allocated
}

func readUsage() (Usage, error) {
	cpu, err := cpuTime()
	if err != nil {
		return Usage{}, fmt.Errorf("read CPU time: %w", err)
	}
	var ms runtime.MemStats
	runtime.ReadMemStats(&ms)
	return Usage{
		CPU:     cpu,
		Mallocs: ms.Mallocs,
		Bytes:   ms.TotalAlloc,
	}, nil
}

// Memory is held by one process once all garbage has been given back.
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
