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
	c, err := countersOf(pid)
	return int64(c.workingSet), err
}

// Anonymous returns the private memory of a process in bytes, resident or not.
func Anonymous(pid int) (int64, error) {
	c, err := countersOf(pid)
	return int64(c.pagefileUsage), err
}

func countersOf(pid int) (c memoryCounters, err error) {
	const queryInformation, readMemory = 0x400, 0x10
	process, err := syscall.OpenProcess(queryInformation|readMemory, false, uint32(pid))
	if err != nil {
		return c, fmt.Errorf("open process %d: %w", pid, err)
	}
	defer syscall.CloseHandle(process)
	c.size = uint32(unsafe.Sizeof(c))
	if ok, _, err := getProcessMemoryInfo.Call(uintptr(process), uintptr(unsafe.Pointer(&c)), uintptr(c.size)); ok == 0 {
		return c, fmt.Errorf("read the memory of process %d: %w", pid, err)
	}
	return c, nil
}

// raiseFileLimit does nothing: there is no such limit.
func raiseFileLimit() error { return nil }
