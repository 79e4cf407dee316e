package hello_test

import (
	"bytes"
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
	"time"
)

// The two programs of the README greet, and the server ends when it is interrupted.
func TestPrograms(t *testing.T) {
	if runtime.GOOS == "windows" || runtime.GOOS == "plan9" || runtime.GOOS == "js" || runtime.GOOS == "wasip1" {
		t.Skip("this system has no signals or no programs to start")
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	dir := t.TempDir()
	run := func(name string) *exec.Cmd {
		binary := filepath.Join(dir, name)
		if out, err := exec.CommandContext(ctx, "go", "build", "-o", binary, "./"+name).CombinedOutput(); err != nil {
			t.Fatalf("go build ./%s: %v\n%s", name, err, out)
		}
		cmd := exec.CommandContext(ctx, binary)
		cmd.Dir = dir
		return cmd
	}
	client, server := run("client"), run("server")
	var log bytes.Buffer
	server.Stderr = &log
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	defer server.Process.Kill()
	for {
		if conn, err := net.Dial("unix", filepath.Join(dir, "hello.sock")); err == nil {
			conn.Close()
			break
		}
		if ctx.Err() != nil {
			t.Fatalf("the server does not listen: %s", &log)
		}
		time.Sleep(5 * time.Millisecond)
	}
	out, err := client.CombinedOutput()
	if err != nil || string(out) != "Hello, world\n" {
		t.Errorf("the client printed %q, %v", out, err)
	}
	if err := server.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := server.Wait(); err != nil || log.Len() > 0 {
		t.Errorf("the server ended with %v and %q", err, &log)
	}
	if _, err := os.Stat(filepath.Join(dir, "hello.sock")); err == nil {
		t.Error("the server has left its socket")
	}
}
