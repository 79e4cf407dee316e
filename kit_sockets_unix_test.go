//go:build unix

package ttrpc

import (
	"net"
	"os"
	"syscall"
	"testing"
)

// socketPair returns the two ends of a Unix socket, which are closed at the end of the
// test.
func socketPair(t testing.TB) (a, b *net.UnixConn) {
	t.Helper()
	syscall.ForkLock.RLock()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err == nil {
		syscall.CloseOnExec(fds[0])
		syscall.CloseOnExec(fds[1])
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		t.Fatal(err)
	}
	a, b = unixConn(t, fds[0]), unixConn(t, fds[1])
	t.Cleanup(func() {
		a.Close()
		b.Close()
	})
	return a, b
}

func unixConn(t testing.TB, fd int) *net.UnixConn {
	t.Helper()
	f := os.NewFile(uintptr(fd), "socket pair")
	defer f.Close()
	nc, err := net.FileConn(f)
	if err != nil {
		t.Fatal(err)
	}
	return nc.(*net.UnixConn)
}
