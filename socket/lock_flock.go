//go:build darwin || dragonfly || freebsd || illumos || linux || netbsd || openbsd

package socket

import (
	"fmt"
	"os"
	"syscall"
	"time"
)

const (
	lockLimit = time.Second // the longest wait for another process
	lockPause = 2 * time.Millisecond
)

// lockDirectory keeps other processes from making sockets in dir until unlock, which is
// never nil, is called. A lock on the directory itself leaves no file behind.
func lockDirectory(dir string) (unlock func(), err error) {
	f, err := os.Open(dir)
	if err != nil {
		return func() {}, err
	}
	for start := time.Now(); ; time.Sleep(lockPause) {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		switch {
		case err == nil:
			return func() { f.Close() }, nil
		case err == syscall.EINTR, err == syscall.EWOULDBLOCK && time.Since(start) < lockLimit:
			continue
		}
		f.Close()
		return func() {}, fmt.Errorf("flock %s: %w", dir, err)
	}
}
