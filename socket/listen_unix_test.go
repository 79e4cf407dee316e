//go:build unix

package socket

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/internal/sockaddr"
)

// newPath returns a short path in a new directory.
func newPath(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "ttrpc")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return filepath.Join(dir, "s")
}

// mustListen returns a listener that is closed at the end of the test.
func mustListen(t *testing.T, path string, opts ...Option) net.Listener {
	t.Helper()
	l, err := ListenUnix(path, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// leaveStale leaves a socket on which nobody listens.
func leaveStale(t *testing.T, path string) {
	t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
}

func mode(t *testing.T, path string) fs.FileMode {
	t.Helper()
	info, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Mode()
}

// The mode is the one that was asked for, with any umask.
func TestListenMode(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0o027))
	for _, test := range []struct {
		opts []Option
		want fs.FileMode
	}{
		{nil, 0o600},
		{[]Option{WithMode(0o666)}, 0o666},
		{[]Option{WithMode(0), WithOwner(-1, os.Getgid())}, 0},
		{[]Option{WithOwner(os.Getuid(), -1)}, 0o600},
	} {
		path := newPath(t)
		l := mustListen(t, path, test.opts...)
		if got := mode(t, path); got != fs.ModeSocket|test.want {
			t.Errorf("mode %v, want %v", got, test.want)
		}
		if got := l.Addr().String(); got != path {
			t.Errorf("address %s, want %s", got, path)
		}
	}
}

// Mode and owner are set while nobody can connect yet.
func TestListenModeInTime(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0))
	defer func(saved func(fd, backlog int) error) { listenOn = saved }(listenOn)
	path := newPath(t)
	listens := 0
	listenOn = func(fd, backlog int) error {
		listens++
		if got := mode(t, path); got != fs.ModeSocket|0o600 {
			t.Errorf("the mode is %v when the socket begins to listen", got)
		}
		if _, err := net.Dial("unix", path); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("connecting before: got %v", err)
		}
		return unix.Listen(fd, backlog)
	}
	mustListen(t, path)
	if listens != 1 {
		t.Errorf("%d times", listens)
	}
}

func TestListenOwner(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("another owner needs root")
	}
	path := newPath(t)
	mustListen(t, path, WithOwner(1234, 4321), WithMode(0o660))
	info, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	if st := info.Sys().(*syscall.Stat_t); st.Uid != 1234 || st.Gid != 4321 || info.Mode().Perm() != 0o660 {
		t.Errorf("owner %d, group %d, mode %v", st.Uid, st.Gid, info.Mode())
	}
}

// A stale socket is replaced; one in use, a file, a directory and a link are not touched.
func TestListenOverExisting(t *testing.T) {
	path := newPath(t)
	leaveStale(t, path)
	l := mustListen(t, path)

	// The socket is in use, even if the queue of its listener is full.
	for i := 0; i < 2; i++ {
		if _, err := ListenUnix(path); !errors.Is(err, syscall.EADDRINUSE) || !strings.Contains(err.Error(), "listens there already") {
			t.Errorf("over one in use: got %v", err)
		}
	}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			conn.Close()
		}
	}()
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatalf("the first listener: %v", err)
	}
	conn.Close()

	others := map[string]func(path string) error{
		"file":      func(path string) error { return os.WriteFile(path, []byte("precious"), 0o600) },
		"directory": func(path string) error { return os.Mkdir(path, 0o700) },
		"link":      func(path string) error { return os.Symlink("nowhere", path) },
	}
	for name, create := range others {
		path := newPath(t)
		if err := create(path); err != nil {
			t.Fatal(err)
		}
		before := mode(t, path)
		if _, err := ListenUnix(path); !errors.Is(err, fs.ErrExist) || !strings.Contains(err.Error(), "not a socket") {
			t.Errorf("over a %s: got %v", name, err)
		}
		if after := mode(t, path); after != before {
			t.Errorf("the %s has become %v", name, after)
		}
	}

	datagram := newPath(t)
	pc, err := net.ListenPacket("unixgram", datagram)
	if err != nil {
		t.Fatal(err)
	}
	defer pc.Close()
	if _, err := ListenUnix(datagram); err == nil {
		t.Error("a datagram socket was replaced")
	}
	mode(t, datagram)
}

// Close removes the socket, and nothing else that has taken its place.
func TestListenClose(t *testing.T) {
	path := newPath(t)
	l := mustListen(t, path)
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("after Close: %v", err)
	}
	if err := l.Close(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("a second Close: %v", err)
	}

	for name, replace := range map[string]func() error{
		"socket": func() error { leaveStale(t, path); return nil },
		"file":   func() error { return os.WriteFile(path, nil, 0o600) },
	} {
		l := mustListen(t, path)
		os.Remove(path)
		if err := replace(); err != nil {
			t.Fatal(err)
		}
		if err := l.Close(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		mode(t, path)
		os.Remove(path)
	}
}

// A relative path is that of the time of the call.
func TestListenRelative(t *testing.T) {
	path := newPath(t)
	wd, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	defer os.Chdir(wd)
	if err := os.Chdir(filepath.Dir(path)); err != nil {
		t.Fatal(err)
	}
	l := mustListen(t, "s")
	os.Chdir("/")
	l.Close()
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("after Close: %v", err)
	}
}

// Of many that find the same stale socket one listens, and keeps it.
func TestRaceListenStale(t *testing.T) {
	for round := 0; round < 20; round++ {
		path := newPath(t)
		leaveStale(t, path)
		var wg sync.WaitGroup
		listeners := make(chan net.Listener, 8)
		for i := 0; i < cap(listeners); i++ {
			wg.Add(1)
			go func() {
				defer wg.Done()
				l, err := ListenUnix(path)
				if err == nil {
					listeners <- l
				} else if !errors.Is(err, syscall.EADDRINUSE) {
					t.Error(err)
				}
			}()
		}
		wg.Wait()
		if n := len(listeners); n != 1 {
			t.Fatalf("%d listen on one path", n)
		}
		conn, err := net.Dial("unix", path)
		if err != nil {
			t.Fatalf("the one that listens is not at the path: %v", err)
		}
		conn.Close()
		(<-listeners).Close()
	}
}

// Without the lock a socket is made, but no stale one is replaced.
func TestListenWithoutLock(t *testing.T) {
	path := newPath(t)
	unlock, err := lockDirectory(filepath.Dir(path))
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	if probe, err := lockDirectory(filepath.Dir(path)); err == nil {
		probe()
		t.Skip("no locks on this system")
	}
	l := mustListen(t, path)
	l.Close()
	leaveStale(t, path)
	if _, err := ListenUnix(path); err == nil || !strings.Contains(err.Error(), "without a lock") {
		t.Errorf("got %v", err)
	}
	mode(t, path)
}

func TestAbstract(t *testing.T) {
	name := fmt.Sprintf("@ttrpc-test-%d", os.Getpid())
	if runtime.GOOS != "linux" {
		if _, err := ListenUnix(name); err == nil {
			t.Error("there is an abstract socket")
		}
		return
	}
	if _, err := ListenUnix(name, WithMode(0o600)); err == nil || !strings.Contains(err.Error(), "no mode") {
		t.Errorf("with a mode: %v", err)
	}
	if _, err := Dial(context.Background(), name); !errors.Is(err, syscall.ECONNREFUSED) || !strings.Contains(err.Error(), "nobody listens") {
		t.Errorf("Dial before: %v", err)
	}
	serve(t, mustListen(t, name))
	for _, address := range []string{name, "unix://" + name} {
		dialAndCall(t, address)
	}
}

// serve serves echoes on l until the end of the test.
func serve(t *testing.T, l net.Listener) {
	t.Helper()
	s, err := ttrpc.NewServer()
	if err != nil {
		t.Fatal(err)
	}
	s.Register("test.Echo", map[string]ttrpc.Method{"Echo": func(_ context.Context, unmarshal func(any) error) (any, error) {
		var req ttrpc.KeyValue
		return &req, unmarshal(&req)
	}})
	served := make(chan error, 1)
	go func() { served <- s.Serve(context.Background(), l) }()
	t.Cleanup(func() {
		s.Close()
		<-served
	})
}

func dialAndCall(t *testing.T, address string) {
	t.Helper()
	c, err := Dial(context.Background(), address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var resp ttrpc.KeyValue
	if err := c.Call(context.Background(), "test.Echo", "Echo", &ttrpc.KeyValue{Key: "x"}, &resp); err != nil || resp.Key != "x" {
		t.Errorf("%s: %v, %v", address, &resp, err)
	}
}

// Dial takes paths and URLs, with the options of the client.
func TestDial(t *testing.T) {
	path := newPath(t)
	serve(t, mustListen(t, path))
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	serve(t, tcp)
	for _, address := range []string{path, "unix://" + path, "tcp://" + tcp.Addr().String()} {
		dialAndCall(t, address)
	}
	closed := make(chan struct{})
	c, err := Dial(context.Background(), path, ttrpc.WithOnClose(func() { close(closed) }))
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	<-closed
}

// The error of Dial names the mistake and the address.
func TestDialErrors(t *testing.T) {
	path := newPath(t)
	dir := filepath.Dir(path)
	stale, file, long := filepath.Join(dir, "stale"), filepath.Join(dir, "file"), filepath.Join(dir, strings.Repeat("x", 120))
	leaveStale(t, stale)
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		address, text string
		is            error
	}{
		{path, "no such path: ", fs.ErrNotExist},
		{filepath.Join(dir, "missing", "s"), "no directory " + filepath.Join(dir, "missing"), fs.ErrNotExist},
		{stale, "nobody listens", syscall.ECONNREFUSED},
		{file, "not a socket", nil},
		{long, "no such path", nil},
		{"", "is empty", nil},
		{"unix://", "is empty", nil},
		{"http://localhost", "is needed", nil},
		{"tcp://127.0.0.1:1", "nobody listens", syscall.ECONNREFUSED},
	} {
		_, err := Dial(context.Background(), test.address)
		if err == nil || !strings.Contains(err.Error(), test.text) || !strings.Contains(err.Error(), test.address) ||
			test.is != nil && !errors.Is(err, test.is) {
			t.Errorf("%s: got %v, want %q", test.address, err, test.text)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Dial(ctx, stale); err == nil {
		t.Error("connected after the end of the context")
	}
}

// The errors of users other than root tell the kinds of permissions apart.
func TestDialPermission(t *testing.T) {
	path := newPath(t)
	mustListen(t, path, WithMode(0o400))
	denied := &net.OpError{Op: "dial", Net: "unix", Err: os.NewSyscallError("connect", syscall.EACCES)}
	err := sockaddr.Explain("unix", path, denied)
	if !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), "has the mode -r--------") {
		t.Errorf("got %v", err)
	}
}

// The error of ListenUnix names the mistake.
func TestListenErrors(t *testing.T) {
	path := newPath(t)
	for at, text := range map[string]string{
		"":                              "the path is empty",
		filepath.Join(path, "s"):        "there is no directory " + path,
		path + strings.Repeat("x", 120): "bytes are too long",
	} {
		if _, err := ListenUnix(at); err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%s: got %v, want %q", at, err, text)
		}
	}
}
