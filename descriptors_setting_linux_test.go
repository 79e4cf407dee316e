package ttrpc

import (
	"context"
	"io"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// passRights returns the kernel's setting for a socket; the error says that it has none.
func passRights(t *testing.T, sc syscall.Conn) (value int, err error) {
	t.Helper()
	raw, rawErr := sc.SyscallConn()
	if rawErr != nil {
		t.Fatal(rawErr)
	}
	raw.Control(func(fd uintptr) { value, err = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, soPassRights) })
	return value, err
}

// setPassRights reports whether the kernel refuses descriptors from then on. Only a Unix
// socket can refuse them.
func TestSetPassRights(t *testing.T) {
	ours, other := socketPair(t)
	raw, err := other.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, soPassRights, 0) })
	if got := setPassRights(ours); got != (err == nil) {
		t.Errorf("Unix: got %v, and the kernel says %v", got, err)
	}
	if err != nil {
		t.Skipf("the kernel, or an emulator, cannot refuse descriptors: %v", err)
	}
	if value, err := passRights(t, ours); err == nil && value != 0 {
		t.Errorf("Unix: the setting is %d", value)
	}
	tcp, _ := tcpPair(t)
	if setPassRights(tcp) {
		t.Error("TCP: got true")
	}
	ours.Close()
	if setPassRights(ours) {
		t.Error("closed: got true")
	}
}

// unnamedListener is a listener without an address.
type unnamedListener struct{ *net.UnixListener }

func (unnamedListener) Addr() net.Addr { return nil }

// A server refuses descriptors for its Unix listeners of both kinds, unless a user's own
// handshaker may take them.
func TestListenersRefuseDescriptors(t *testing.T) {
	needPassRights(t)
	own := handshakeFunc(func(_ context.Context, nc net.Conn) (net.Conn, any, error) { return nc, nil, nil })
	for name, test := range map[string]struct {
		network string
		opts    []ServerOpt
		want    int
	}{
		"stream":               {"unix", nil, 0},
		"packets":              {"unixpacket", nil, 0},
		"credentials":          {"unix", []ServerOpt{WithServerHandshaker(UnixSocketRequireSameUser())}, 0},
		"handshaker of a user": {"unix", []ServerOpt{WithServerHandshaker(own)}, 1},
	} {
		l, err := net.Listen(test.network, filepath.Join(t.TempDir(), "s"))
		if err != nil {
			t.Fatal(err)
		}
		newServer(t, nil, test.opts...).refuseDescriptors(l)
		if got, err := passRights(t, l.(syscall.Conn)); got != test.want || err != nil {
			t.Errorf("%s: the setting is %d, %v, want %d", name, got, err, test.want)
		}
		l.Close()
	}
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	newServer(t, nil).refuseDescriptors(unnamedListener{l.(*net.UnixListener)}) // without a panic
	if got, err := passRights(t, l.(syscall.Conn)); got != 1 || err != nil {
		t.Errorf("without an address: the setting is %d, %v, want 1", got, err)
	}
}

// receive closes the descriptors that it gets.
func TestReceiveClosesDescriptors(t *testing.T) {
	ours, theirs := socketPair(t)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, _, err := theirs.WriteMsgUnix([]byte("x"), syscall.UnixRights(int(w.Fd())), nil); err != nil {
		t.Fatal(err)
	}
	w.Close()
	sk := newSocket(ours)
	if _, err := sk.read(make([]byte, 1)); err == nil {
		t.Error("no error for a descriptor")
	}
	r.SetReadDeadline(time.Now().Add(testTimeout))
	if _, err := r.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("the other end of the pipe: got %v, want EOF", err)
	}
}

// In a sandbox without recvmsg(2), read(2) reads from then on.
func TestSandboxWithoutRecvmsg(t *testing.T) {
	defer func(saved func(*receiver, int, []byte) (int, error)) { sysRecvmsg = saved }(sysRecvmsg)
	for _, errno := range []syscall.Errno{syscall.ENOSYS, syscall.EPERM} {
		calls := 0
		sysRecvmsg = func(*receiver, int, []byte) (int, error) {
			calls++
			return -1, errno
		}
		ours, theirs := socketPair(t)
		if _, err := theirs.Write([]byte("xy")); err != nil {
			t.Fatal(err)
		}
		sk := newSocket(ours)
		for _, want := range []string{"x", "y"} {
			b := make([]byte, 1)
			if n, err := sk.read(b); err != nil || string(b[:n]) != want {
				t.Errorf("%v: read %q, %v, want %q", errno, b[:max(n, 0)], err, want)
			}
		}
		if calls != 1 {
			t.Errorf("%v: %d calls of recvmsg", errno, calls)
		}
	}
}
