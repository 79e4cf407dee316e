//go:build unix

package takeover

import (
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// serve answers each client with one byte until the test ends, or stop is called.
func serve(t *testing.T, path, answer string) (stop func()) {
	t.Helper()
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	answerAll(l, answer)
	t.Cleanup(func() { l.Close() })
	return func() { l.Close() }
}

func answerAll(l net.Listener, answer string) {
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			io.WriteString(c, answer)
			c.Close()
		}
	}()
}

// ask returns the answer of the server at path.
func ask(t *testing.T, path string) string {
	t.Helper()
	c, err := net.Dial("unix", path)
	if err != nil {
		return err.Error()
	}
	defer c.Close()
	b, err := io.ReadAll(c)
	if err != nil {
		t.Error(err)
	}
	return string(b)
}

func take(t *testing.T, path string) *Place {
	t.Helper()
	p, err := Take(path)
	if err != nil {
		t.Fatal(err)
	}
	answerAll(p.Listener, "trace")
	t.Cleanup(func() { p.Listener.Close() })
	return p
}

func wantAnswer(t *testing.T, path, want string) {
	t.Helper()
	if got := ask(t, path); got != want {
		t.Errorf("at %s there is %q, want %q", filepath.Base(path), got, want)
	}
}

func wantFiles(t *testing.T, dir string, want ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	if strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("there are the files %q, want %q", got, want)
	}
}

func TestTakeAndRestore(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	serve(t, path, "server")
	if err := os.Chmod(path, 0o641); err != nil {
		t.Fatal(err)
	}
	before, _ := os.Lstat(path)
	p := take(t, path)
	wantAnswer(t, path, "trace")
	wantAnswer(t, p.Saved, "server")
	during, err := os.Lstat(path)
	if err != nil || during.Mode() != before.Mode() || os.SameFile(before, during) {
		t.Errorf("the mode is %v, want %v (%v)", during.Mode(), before.Mode(), err)
	}
	if remade, err := p.Restore(); remade || err != nil {
		t.Errorf("got %v, %v", remade, err)
	}
	wantAnswer(t, path, "server")
	wantFiles(t, filepath.Dir(path), "s")
	if after, _ := os.Lstat(path); !os.SameFile(before, after) {
		t.Error("the socket is another one")
	}
}

// After a crash the next start finds the server again.
func TestCrash(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	serve(t, path, "server")
	crashed := take(t, path)
	crashed.Listener.Close()
	if got := ask(t, path); !strings.Contains(got, "refused") {
		t.Errorf("got %q", got)
	}
	p := take(t, path)
	if !p.Repaired {
		t.Error("nothing is said of the earlier trace")
	}
	wantAnswer(t, path, "trace")
	if _, err := p.Restore(); err != nil {
		t.Error(err)
	}
	wantAnswer(t, path, "server")
	wantFiles(t, filepath.Dir(path), "s")
}

// A crash between the steps of a takeover.
func TestCrashBetween(t *testing.T) {
	for name, steps := range map[string]func(path string) error{
		"linked": func(path string) error { return os.Link(path, path+Suffix) },
		"moved":  func(path string) error { return os.Rename(path, path+Suffix) },
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "s")
			serve(t, path, "server")
			if err := steps(path); err != nil {
				t.Fatal(err)
			}
			p := take(t, path)
			wantAnswer(t, p.Saved, "server")
			p.Restore()
			wantAnswer(t, path, "server")
			wantFiles(t, filepath.Dir(path), "s")
		})
	}
}

// The server has ended after a crash of the trace, and another one begun.
func TestCrashThenNewServer(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	stop := serve(t, path, "old")
	take(t, path).Listener.Close()
	stop()
	os.Remove(path)
	serve(t, path, "new")
	p := take(t, path)
	wantAnswer(t, p.Saved, "new")
}

// While a trace runs, another one has no place.
func TestTwice(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	serve(t, path, "server")
	take(t, path)
	if _, err := Take(path); err == nil || !strings.Contains(err.Error(), "mv ") {
		t.Errorf("got %v", err)
	}
	wantAnswer(t, path, "trace")
}

// A server that starts anew during the trace keeps its socket.
func TestRemade(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	serve(t, path, "old")
	p := take(t, path)
	os.Remove(path)
	serve(t, path, "new")
	if remade, err := p.Restore(); !remade || err != nil {
		t.Errorf("got %v, %v", remade, err)
	}
	wantAnswer(t, path, "new")
	wantFiles(t, filepath.Dir(path), "s")
}

// A failed takeover leaves everything as it was.
func TestTakeFails(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "s")
	if _, err := Take(path); !os.IsNotExist(err) {
		t.Errorf("of nothing: %v", err)
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Take(path); err == nil || !strings.Contains(err.Error(), "no socket") {
		t.Errorf("of a file: %v", err)
	}
	wantFiles(t, dir, "s")
	short := filepath.Join(dir, strings.Repeat("x", max(1, 100-len(dir)-1)))
	serve(t, short, "server")
	if _, err := Take(short); err == nil {
		t.Error("a path that is too long with its suffix passes")
	}
	wantAnswer(t, short, "server")
}
