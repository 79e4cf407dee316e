package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
)

var sessionBlock = regexp.MustCompile("(?s)```shell-session\n(.*?)```")

// The tool prints the sessions of README.md that have times, save for the times.
func TestTimedSessions(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("ping shows more on Linux")
	}
	kinds, err := newKindsServer(true)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	serveAt(t, kinds, filepath.Join(dir, "kinds.sock"))
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	same, blocks := true, 0
	got := sessionBlock.ReplaceAllStringFunc(string(text), func(block string) string {
		blocks++
		now := "```shell-session\n" + runSession(t, dir, block) + "```"
		if withoutTimes(now) == withoutTimes(block) {
			return block
		}
		same = false
		return now
	})
	switch {
	case blocks == 0:
		t.Error("README.md has no session")
	case same:
	case *update:
		if err := os.WriteFile("README.md", []byte(got), 0o644); err != nil {
			t.Error(err)
		}
	default:
		t.Errorf("README.md has another session (-update writes it):\n%s", got)
	}
}

// runSession runs the commands of a block in one shell, and returns them with their
// output. After one in the background it waits until the socket is taken over.
func runSession(t *testing.T, dir, block string) string {
	var script strings.Builder
	for _, line := range strings.Split(block, "\n") {
		command, ok := strings.CutPrefix(line, "$ ")
		if !ok {
			continue
		}
		fmt.Fprintf(&script, "cat <<'END'\n%s\nEND\n%s\n", line, command)
		if strings.HasSuffix(command, "&") {
			script.WriteString("until test -e kinds.sock.ttrpc-trace; do sleep 0.01; done\n")
		}
	}
	cmd := exec.Command("sh", "-c", script.String())
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%v: %s", err, out)
	}
	return string(out)
}

// Times, the sizes of requests with a deadline, and numbers of the machine.
var (
	clocks   = regexp.MustCompile(`\d\d:\d\d:\d\d\.\d{6}`)
	times    = regexp.MustCompile(`\d+(\.\d+)?(ns|µs|ms|s)\b`)
	process  = regexp.MustCompile(`process: .*`)
	rates    = regexp.MustCompile(`\d+/s`)
	deadline = regexp.MustCompile(`\d+ B timeout`)
	spaces   = regexp.MustCompile(` +`)
)

func withoutTimes(s string) string {
	s = clocks.ReplaceAllString(s, "C")
	s = process.ReplaceAllString(s, "process")
	s = rates.ReplaceAllString(s, "R")
	s = times.ReplaceAllString(s, "T")
	s = deadline.ReplaceAllString(s, "B timeout")
	return spaces.ReplaceAllString(s, " ")
}
