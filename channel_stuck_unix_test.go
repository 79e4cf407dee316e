//go:build unix

package ttrpc

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
)

// A write that goes on after a wait is not stuck any more.
func TestStuckWriteGoesOn(t *testing.T) {
	ours, theirs := socketPair(t)
	ch := newChannel(ours, 1<<20, 1<<20, func(error) {})
	const length = 16 << 20
	wrote := goErr(func() error {
		_, err := ch.sock.write(make([]byte, length))
		return err
	})
	waitFor(t, "a full socket", func() bool { return ch.w.stuckSince.Load() != 0 })
	go io.CopyN(io.Discard, theirs, length)
	if err := within(t, "the write", wrote); err != nil {
		t.Fatal(err)
	}
	if ch.w.stuckSince.Load() != 0 {
		t.Error("the write still counts as stuck")
	}
}

// EAGAIN stays as it is, and other errors have the name of the call.
func TestReadErrorNames(t *testing.T) {
	if err := readError(syscall.EAGAIN); err != syscall.EAGAIN {
		t.Errorf("got %v", err)
	}
	var named *os.SyscallError
	if err := readError(syscall.ECONNRESET); !errors.As(err, &named) || named.Syscall != "read" {
		t.Errorf("got %v", err)
	}
}

// A socket that has no address is none of ours.
func TestSocketWithoutAddress(t *testing.T) {
	if newSocket(&net.UnixConn{}) != nil {
		t.Error("it is taken for a stream socket")
	}
}
