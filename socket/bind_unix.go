//go:build unix

package socket

import (
	"net"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// backlog is the number of connections that may wait to be accepted, unless the kernel's
// own limit is lower.
const backlog = 4096

// bind makes the socket. No peer can connect before unix.Listen, so the mode and the owner
// are set in time. The alternatives are worse: the umask belongs to all threads, and a
// socket that is bound under another name and renamed keeps that name in the kernel.
func (c *config) bind(path string) (*net.UnixListener, error) {
	syscall.ForkLock.RLock()
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err == nil {
		unix.CloseOnExec(fd)
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	f := os.NewFile(uintptr(fd), path)
	defer f.Close()
	if err := unix.Bind(fd, &unix.SockaddrUnix{Name: path}); err != nil {
		return nil, os.NewSyscallError("bind", err)
	}
	l, err := c.start(path, fd, f)
	if err != nil {
		os.Remove(path)
	}
	return l, err
}

// start sets the mode and the owner of a bound socket, and listens on it.
func (c *config) start(path string, fd int, f *os.File) (*net.UnixListener, error) {
	// The owner comes first: on some systems its change clears bits of the mode.
	if c.uid != -1 || c.gid != -1 {
		if err := os.Lchown(path, c.uid, c.gid); err != nil {
			return nil, err
		}
	}
	if err := os.Chmod(path, c.mode); err != nil {
		return nil, err
	}
	if err := listenOn(fd, backlog); err != nil {
		return nil, os.NewSyscallError("listen", err)
	}
	l, err := net.FileListener(f)
	if err != nil {
		return nil, err
	}
	return l.(*net.UnixListener), nil
}

// Only tests replace listenOn.
var listenOn = unix.Listen
