package main

import (
	"context"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/example/hello"
)

var update = flag.Bool("update", false, "write the sessions of the documents anew")

// greeter is the service of the example in the library's README.
type greeter struct{}

func (greeter) Greet(_ context.Context, r *hello.GreetRequest) (*hello.GreetResponse, error) {
	return &hello.GreetResponse{Text: "Hello, " + r.Name}, nil
}

// The tool prints the sessions in README.md.
func TestSessions(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the sessions are of a shell")
	}
	kinds, err := newKindsServer(true)
	if err != nil {
		t.Fatal(err)
	}
	hellos, err := ttrpc.NewServer()
	if err != nil {
		t.Fatal(err)
	}
	hello.RegisterGreeterService(hellos, greeter{})
	dir := t.TempDir()
	serveAt(t, kinds, filepath.Join(dir, "kinds.sock"))
	serveAt(t, hellos, filepath.Join(dir, "hello.sock"))
	example, err := filepath.Abs("../../example")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(example, filepath.Join(dir, "example")); err != nil {
		t.Fatal(err)
	}
	compareSessions(t, "README.md", dir)
}

func serveAt(t *testing.T, server *ttrpc.Server, path string) {
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan struct{}) // closed when Serve has returned
	go func() {
		defer close(served)
		server.Serve(context.Background(), l)
	}()
	t.Cleanup(func() {
		server.Close()
		<-served
	})
}

var consoleBlock = regexp.MustCompile("(?s)```console\n(.*?)```")

// compareSessions runs the commands of a document's console blocks in dir, and compares the
// output.
func compareSessions(t *testing.T, name, dir string) {
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	blocks := 0
	got := consoleBlock.ReplaceAllStringFunc(string(text), func(block string) string {
		blocks++
		var out strings.Builder
		out.WriteString("```console\n")
		for _, line := range strings.Split(block, "\n") {
			if command, ok := strings.CutPrefix(line, "$ "); ok {
				fmt.Fprintf(&out, "%s\n%s", line, runIn(t, dir, command))
			}
		}
		out.WriteString("```")
		return out.String()
	})
	switch {
	case blocks == 0:
		t.Errorf("%s has no session", name)
	case got == string(text):
	case *update:
		if err := os.WriteFile(name, []byte(got), 0o644); err != nil {
			t.Error(err)
		}
	default:
		t.Errorf("%s has another session (-update writes it):\n%s", name, got)
	}
}

// runIn runs a command line and returns its output, of both kinds.
func runIn(t *testing.T, dir, command string) []byte {
	cmd := exec.Command("sh", "-c", command)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil && cmd.ProcessState.ExitCode() < 0 {
		t.Errorf("%s: %v", command, err)
	}
	return out
}
