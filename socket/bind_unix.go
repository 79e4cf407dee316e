//go:build unix

package socket

import (
	"net"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// backlog is how many connections may wait to be accepted: the kernel takes its own limit
// where that is lower.
const backlog = 4096

// bind makes the socket. Nobody can connect before unix.Listen, so mode and owner are set
// in time, without the umask, which is that of all threads, and without another name,
// which the kernel would show for the socket ever after.
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

// start sets the mode and the owner of a socket that is bound, and listens on it.
func (c *config) start(path string, fd int, f *os.File) (*net.UnixListener, error) {
	// The owner first: that takes bits of the mode away on some systems.
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

// listenOn is replaced by tests.
var listenOn = unix.Listen
