package main

import (
	"fmt"
	"syscall"
	"unsafe"
)

// limitDescriptors sets the soft limit of another process's descriptors, and returns the
// limit before. Programs that it starts do not inherit it: Go gives them the first one.
func limitDescriptors(pid int, soft uint64) (before uint64, err error) {
	var limit syscall.Rlimit
	prlimit := func(set, get *syscall.Rlimit) error {
		_, _, errno := syscall.RawSyscall6(syscall.SYS_PRLIMIT64, uintptr(pid), syscall.RLIMIT_NOFILE,
			uintptr(unsafe.Pointer(set)), uintptr(unsafe.Pointer(get)), 0, 0)
		if errno != 0 {
			return errno
		}
		return nil
	}
	if err := prlimit(nil, &limit); err != nil {
		return 0, err
	}
	before = limit.Cur
	limit.Cur = soft
	return before, prlimit(&limit, nil)
}

// mountDisk mounts a file system of its own with so many MiB.
func mountDisk(dir string, size int) error {
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%dm", size)); err != nil {
		return fmt.Errorf("mount %s: %w", dir, err)
	}
	return nil
}

func unmount(dir string) error { return syscall.Unmount(dir, 0) }
