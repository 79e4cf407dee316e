//go:build unix

package main

import (
	"fmt"
	"os"
	"syscall"
)

// lock waits until no other run is under way, and holds others up until the
// returned function is called or the process ends: two at once would measure
// each other and build the same programs.
func lock() (unlock func(), err error) {
	if err := os.MkdirAll("out", 0o755); err != nil {
		return nil, err
	}
	f, err := os.OpenFile("out/lock", os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	fd := int(f.Fd())
	if syscall.Flock(fd, syscall.LOCK_EX|syscall.LOCK_NB) != nil {
		progress("waiting for another run to end")
		if err := syscall.Flock(fd, syscall.LOCK_EX); err != nil {
			return nil, fmt.Errorf("wait for another run: %w", err)
		}
	}
	return func() { f.Close() }, nil
}
