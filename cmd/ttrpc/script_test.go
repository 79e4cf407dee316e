package main

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestMain makes the test binary the tool when its name is ttrpc.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"ttrpc": main})
}

// Each script of testdata/script runs with the tool, and with servers of this library and
// of releases.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"peer": startPeer, "listen": listenAs, "waitfor": waitFor, "waitlisten": waitListen, "timeline": checkTimeline,
		},
	})
}

// peerPrograms are the servers of the benchmark, built once for each name.
var peerPrograms sync.Map // of string to func() (string, error)

func peerProgram(name string) (string, error) {
	build, _ := peerPrograms.LoadOrStore(name, sync.OnceValues(func() (string, error) {
		dir, err := os.MkdirTemp("", "ttrpc-peer")
		if err != nil {
			return "", err
		}
		program := filepath.Join(dir, name)
		cmd := exec.Command("go", "build", "-o", program, ".")
		cmd.Dir = filepath.Join("..", "..", "bench", "peers", name)
		cmd.Env = append(os.Environ(), "GOWORK=off")
		if out, err := cmd.CombinedOutput(); err != nil {
			return "", &exec.Error{Name: string(out), Err: err}
		}
		return program, nil
	}))
	return build.(func() (string, error))()
}

// startPeer is "peer NAME SOCKET": it starts a server of the benchmark, which lives until
// the script ends. It is there when the command returns.
func startPeer(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: peer NAME SOCKET")
	}
	program, err := peerProgram(args[0])
	ts.Check(err)
	cmd := exec.Command(program, "server", "-addr", ts.MkAbs(args[1]), "-options", `{"Connection":"unix"}`)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe() // the server ends with it
	ts.Check(err)
	out, err := cmd.StdoutPipe()
	ts.Check(err)
	ts.Check(cmd.Start())
	ts.Defer(func() {
		in.Close()
		cmd.Wait()
	})
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "ready\n" {
		ts.Fatalf("the server said %q (%v)", line, err)
	}
	go io.Copy(io.Discard, out) // ends with the server
}

// waitFor is "waitfor FILE [TEXT]": it waits until the file is there, and has the text.
func waitFor(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 || len(args) > 2 {
		ts.Fatalf("usage: waitfor FILE [TEXT]")
	}
	path, text := ts.MkAbs(args[0]), strings.Join(args[1:], "")
	deadline := time.Now().Add(20 * time.Second)
	for {
		_, err := os.Lstat(path)
		if err == nil && text == "" {
			return
		}
		if b, err := os.ReadFile(path); text != "" && err == nil && strings.Contains(string(b), text) {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("%s is not there, or lacks %q", path, text)
		}
		time.Sleep(5 * time.Millisecond)
	}
}
