package address

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

func TestSyntax(t *testing.T) {
	for _, address := range []string{
		"", "unix://", "ftp://x", "://x", "tcp://x", "tcp://", "vsock://", "vsock://1", "vsock://x:1", "vsock://1:x",
		"vsock://-1:1", "vsock://4294967296:1", "hvsock://", "hvsock:///x", "hvsock:///x:", "hvsock://:1", "hvsock:///x:-1",
		"a\x00b", "unix://a\x00",
	} {
		if err := Check(address); !errors.Is(err, ErrSyntax) {
			t.Errorf("%q: got %v, want an error of syntax", address, err)
		}
		if _, err := Dial(context.Background(), address); !errors.Is(err, ErrSyntax) {
			t.Errorf("Dial %q: got %v, want an error of syntax", address, err)
		}
	}
	for _, address := range []string{"/x", "x", "unix:///x", "tcp://localhost:1", "tcp://[::1]:1", "vsock://3:1024", "hvsock:///x:1", "hvsock:///a:b:1"} {
		if err := Check(address); err != nil {
			t.Errorf("%q: %v", address, err)
		}
	}
}

// hypervisor listens like that of a virtual machine, reads the line of each connection, and
// has answer reply.
func hypervisor(t *testing.T, answer func(conn net.Conn, line string)) (path string) {
	dir, err := os.MkdirTemp("", "hv")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	path = filepath.Join(dir, "vm.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{}) // closed when the goroutine ends
	go func() {
		defer close(ended)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			line, _ := bufio.NewReader(conn).ReadString('\n')
			answer(conn, line)
			conn.Close()
		}
	}()
	t.Cleanup(func() {
		l.Close()
		<-ended
	})
	return path
}

func TestHybrid(t *testing.T) {
	got := make(chan string, 1)
	path := hypervisor(t, func(conn net.Conn, line string) {
		got <- line
		fmt.Fprint(conn, "OK 1073741824\nfirst bytes of the peer")
	})
	conn, err := Dial(context.Background(), "hvsock://"+path+":1024")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if line := <-got; line != "CONNECT 1024\n" {
		t.Errorf("the hypervisor got %q", line)
	}
	if b, err := io.ReadAll(conn); string(b) != "first bytes of the peer" || err != nil {
		t.Errorf("got %q, %v", b, err)
	}
}

func TestHybridRefuses(t *testing.T) {
	for _, answer := range []string{"", "NO\n", "OK", strings.Repeat("O", 1<<10)} {
		path := hypervisor(t, func(conn net.Conn, _ string) { fmt.Fprint(conn, answer) })
		if conn, err := Dial(context.Background(), "hvsock://"+path+":1"); err == nil {
			conn.Close()
			t.Errorf("no error after the answer %.20q", answer)
		} else if !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "hypervisor") {
			t.Errorf("after the answer %.20q: %v", answer, err)
		}
	}
}

// The hypervisor never answers; the end of the context ends the wait.
func TestHybridContext(t *testing.T) {
	release := make(chan struct{})
	ctx, cancel := context.WithCancel(context.Background())
	path := hypervisor(t, func(net.Conn, string) {
		cancel()
		<-release
	})
	defer close(release)
	start := time.Now()
	if _, err := Dial(ctx, "hvsock://"+path+":1"); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if d := time.Since(start); d > handshakeTime/2 {
		t.Errorf("it took %v", d)
	}
}

func TestReasons(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the modes of files are those of Unix")
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ address, want string }{
		{filepath.Join(dir, "none"), "no such path: no server has made it"},
		{"unix://" + filepath.Join(dir, "no", "none"), "no directory " + filepath.Join(dir, "no")},
		{file, "the file is not a socket"},
		{"hvsock://" + file + ":1", "the file is not a socket"},
	} {
		if _, err := Dial(context.Background(), test.address); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v, want %q", test.address, err, test.want)
		}
	}
	if os.Getuid() == 0 {
		return // no permission is denied
	}
	l, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := os.Chmod(filepath.Join(dir, "s"), 0); err != nil {
		t.Fatal(err)
	}
	if _, err := Dial(context.Background(), filepath.Join(dir, "s")); !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), "permission denied") {
		t.Errorf("got %v", err)
	}
}

func TestListen(t *testing.T) {
	for _, address := range []string{"tcp://localhost:0", filepath.Join(t.TempDir(), "s")} {
		l, err := Listen(address)
		if err != nil {
			t.Fatal(err)
		}
		l.Close()
	}
	if _, err := Listen("hvsock:///x:1"); !errors.Is(err, ErrSyntax) {
		t.Errorf("got %v", err)
	}
}
