package ttrpc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// These tests run a server in its own user namespace, with peers on the host.

// usernsCheck is the environment variable that names the check of the server in the child
// process.
const usernsCheck = "TTRPC_TEST_USERNS_CHECK"

// TestCredentialsUsernsChild is the server. It serves descriptor 3 until the end of its
// standard input.
func TestCredentialsUsernsChild(t *testing.T) {
	checks := map[string]func() UnixCredentialsFunc{
		"same user": UnixSocketRequireSameUser,
		"nobody":    func() UnixCredentialsFunc { return UnixSocketRequireUidGid(65534, 65534) },
		"own check": func() UnixCredentialsFunc { return func(*unix.Ucred) error { return nil } },
	}
	check, ok := checks[os.Getenv(usernsCheck)]
	if !ok {
		t.Skip("this is started by TestCredentialsInUserNamespace")
	}
	l, err := net.FileListener(os.NewFile(3, "listener"))
	if err != nil {
		t.Fatal(err)
	}
	serveOn(t, l, whoService(), WithServerHandshaker(check()), WithServerLogger(discardLogger{}))
	io.Copy(io.Discard, os.Stdin)
}

// whoService answers with the peer's uid and gid.
func whoService() *ServiceDesc {
	return &ServiceDesc{Methods: map[string]Method{"Who": func(ctx context.Context, _ func(any) error) (any, error) {
		peer, _ := PeerFromContext(ctx)
		ucred, ok := peer.(*unix.Ucred)
		if !ok {
			return nil, errors.New("the peer is not a *unix.Ucred")
		}
		return &KeyValue{Value: fmt.Sprintf("%d:%d", ucred.Uid, ucred.Gid)}, nil
	}}}
}

// Users of the host that the server's namespace does not map all look alike there, and like
// a server whose own ids are not mapped. None of them is admitted. Mapped users are
// admitted, unless their id in the namespace is the overflow id.
func TestCredentialsInUserNamespace(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can start processes of other users")
	}
	// Of the host's ids 0 to 65534 the ones in the namespace are the same.
	mapped := []syscall.SysProcIDMap{{ContainerID: 0, HostID: 0, Size: 65535}}
	nobody := &syscall.Credential{Uid: 65534, Gid: 65534}
	for _, test := range []struct {
		name   string
		attr   syscall.SysProcAttr
		check  string
		admits map[uint32]string // by uid and gid of the host, which are the same
	}{
		{"nothing mapped", syscall.SysProcAttr{}, "same user", nil},
		{"nothing mapped", syscall.SysProcAttr{}, "nobody", nil},
		{"nothing mapped", syscall.SysProcAttr{}, "own check",
			map[uint32]string{0: "65534:65534", 1000: "65534:65534", 65534: "65534:65534", 70000: "65534:65534"}},
		{"mapped", syscall.SysProcAttr{UidMappings: mapped, GidMappings: mapped}, "same user", map[uint32]string{0: "0:0"}},
		{"mapped", syscall.SysProcAttr{UidMappings: mapped, GidMappings: mapped}, "nobody", nil},
		{"mapped, as nobody", syscall.SysProcAttr{UidMappings: mapped, GidMappings: mapped, Credential: nobody}, "same user", nil},
	} {
		addr := serveInUserNamespace(t, test.attr, test.check)
		for _, id := range []uint32{0, 1000, 65534, 70000} {
			want := ErrClosed.Error()
			if who, ok := test.admits[id]; ok {
				want = who + " <nil>"
			}
			got, err := runChild(addr, &syscall.Credential{Uid: id, Gid: id})
			if err != nil {
				t.Fatal(err)
			}
			if got != want {
				t.Errorf("%s, the check %q, with uid %d of the host: got %q, want %q", test.name, test.check, id, got, want)
			}
		}
	}
}

// serveInUserNamespace starts TestCredentialsUsernsChild and returns its address.
func serveInUserNamespace(t *testing.T, attr syscall.SysProcAttr, check string) string {
	t.Helper()
	addr := filepath.Join(worldDir(t), "s")
	l, err := net.Listen("unix", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	if err := os.Chmod(addr, 0o777); err != nil {
		t.Fatal(err)
	}
	f, err := l.(*net.UnixListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()

	cmd := childTest(context.Background(), "TestCredentialsUsernsChild")
	cmd.Env = append(os.Environ(), usernsCheck+"="+check, quickExit)
	cmd.Dir = "/"
	cmd.ExtraFiles = []*os.File{f}
	attr.Cloneflags = syscall.CLONE_NEWUSER
	cmd.SysProcAttr = &attr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Skipf("no process in a user namespace of its own: %v", err)
	}
	t.Cleanup(func() {
		stdin.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("the server: %v", err)
		}
	})
	return addr
}
