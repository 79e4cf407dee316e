package ttrpc

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// In these tests the peer is another process, under users that need not exist.

const (
	childAddress = "TTRPC_TEST_CHILD_ADDRESS"
	quickExit    = "GORACE=atexit_sleep_ms=0" // else a child waits for a second, with the race detector
	someUID      = 4711
	someGID      = 4712
)

// TestCredentialsChild is the child process: it makes a call and prints the result.
func TestCredentialsChild(t *testing.T) {
	addr := os.Getenv(childAddress)
	if addr == "" {
		t.Skip("this is what TestCredentialsOfOtherUsers starts")
	}
	nc, err := net.Dial("unix", addr)
	if err != nil {
		t.Fatal(err)
	}
	c := NewClient(nc)
	defer c.Close()
	var who KeyValue
	err = c.Call(testContext(t), testService, "Who", &KeyValue{}, &who)
	fmt.Printf("result: %s %v\n", who.Value, err)
}

// Each check admits and refuses the right users, over a path and over an abstract socket.
func TestCredentialsOfOtherUsers(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can start processes of other users")
	}
	users := map[string]*syscall.Credential{
		"root":          {Uid: 0, Gid: 0},
		"other":         {Uid: someUID, Gid: someGID},
		"other group":   {Uid: 0, Gid: someGID},
		"other user":    {Uid: someUID, Gid: 0},
		"another other": {Uid: someUID + 1, Gid: someGID},
		"nobody":        {Uid: 65534, Gid: 65534},
	}
	var nobody []string // on the host the overflow id is a user like others
	if readOverflowID("uid") == -1 && readOverflowID("gid") == -1 {
		nobody = []string{"nobody"}
	}
	for _, test := range []struct {
		name   string
		check  UnixCredentialsFunc
		admits []string
	}{
		{"same user", UnixSocketRequireSameUser(), []string{"root"}},
		{"root", UnixSocketRequireRoot(), []string{"root"}},
		{"uid and gid", UnixSocketRequireUidGid(someUID, someGID), []string{"other"}},
		{"uid, gid 0", UnixSocketRequireUidGid(someUID, 0), []string{"other user"}},
		{"nobody", UnixSocketRequireUidGid(65534, 65534), nobody},
	} {
		for _, kind := range []string{"path", "abstract"} {
			dir := worldDir(t)
			addr := filepath.Join(dir, "s")
			if kind == "abstract" {
				addr = "@" + addr
			}
			l, err := net.Listen("unix", addr)
			if err != nil {
				t.Fatal(err)
			}
			if kind == "path" {
				if err := os.Chmod(addr, 0o777); err != nil {
					t.Fatal(err)
				}
			}
			serveOn(t, l, whoService(), WithServerHandshaker(test.check), WithServerLogger(discardLogger{}))
			for user, cred := range users {
				want := ErrClosed.Error()
				for _, admitted := range test.admits {
					if user == admitted {
						want = fmt.Sprintf("%d:%d <nil>", cred.Uid, cred.Gid)
					}
				}
				got, err := runChild(addr, cred)
				if err != nil {
					t.Fatal(err)
				}
				if got != want {
					t.Errorf("the check for %s, over a socket of kind %s, with %s: got %q, want %q", test.name, kind, user, got, want)
				}
			}
		}
	}
}

// worldDir returns a directory that every user can enter, unlike t.TempDir.
func worldDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "ttrpc")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// runChild runs TestCredentialsChild as another user.
func runChild(addr string, cred *syscall.Credential) (string, error) {
	cmd := childTest(context.Background(), "TestCredentialsChild")
	cmd.Env = append(os.Environ(), childAddress+"="+addr, quickExit)
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: cred}
	out, err := cmd.CombinedOutput()
	for _, line := range strings.Split(string(out), "\n") {
		if result, ok := strings.CutPrefix(line, "result: "); ok {
			return strings.TrimSpace(result), nil
		}
	}
	return "", errors.Join(err, fmt.Errorf("the child printed %q", out))
}
