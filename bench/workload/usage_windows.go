package workload

import (
	"fmt"
	"syscall"
	"unsafe"
)

// cpuTime counts in the system's clock ticks, some 16 ms each.
func cpuTime() (int64, error) {
	self, err := syscall.GetCurrentProcess()
	if err != nil {
		return 0, err
	}
	var created, exited, kernel, user syscall.Filetime
	if err := syscall.GetProcessTimes(self, &created, &exited, &kernel, &user); err != nil {
		return 0, err
	}
	return nanoseconds(kernel) + nanoseconds(user), nil
}

// nanoseconds of a duration: Filetime.Nanoseconds takes it for a date.
func nanoseconds(t syscall.Filetime) int64 {
	return (int64(t.HighDateTime)<<32 | int64(t.LowDateTime)) * 100
}

// memoryCounters is PROCESS_MEMORY_COUNTERS.
type memoryCounters struct {
	size                     uint32
	pageFaults               uint32
	peakWorkingSet           uintptr
	workingSet               uintptr
	quotaPeakPaged           uintptr
	quotaPaged               uintptr
	quotaPeakNonPaged        uintptr
	quotaNonPaged            uintptr
	pagefileUsage, pagefiles uintptr
}

var getProcessMemoryInfo = syscall.NewLazyDLL("kernel32.dll").NewProc("K32GetProcessMemoryInfo")

// RSS returns the working set of a process in bytes.
func RSS(pid int) (int64, error) {
	const queryInformation, readMemory = 0x400, 0x10
	process, err := syscall.OpenProcess(queryInformation|readMemory, false, uint32(pid))
	if err != nil {
		return 0, fmt.Errorf("open process %d: %w", pid, err)
	}
	defer syscall.CloseHandle(process)
	var c memoryCounters
	c.size = uint32(unsafe.Sizeof(c))
	if ok, _, err := getProcessMemoryInfo.Call(uintptr(process), uintptr(unsafe.Pointer(&c)), uintptr(c.size)); ok == 0 {
		return 0, fmt.Errorf("read the working set: %w", err)
	}
	return int64(c.workingSet), nil
}

// raiseFileLimit does nothing: there is no such limit.
func raiseFileLimit() error { return nil }
