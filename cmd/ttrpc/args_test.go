package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"strings"
	"testing"
)

// runWithoutPeers executes a command line whose context has ended, so that it connects to
// nobody.
func runWithoutPeers(t *testing.T, args []string) (status int, out string) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	var b bytes.Buffer
	status = run(ctx, args, strings.NewReader(""), &b, &b)
	return status, b.String()
}

// The status of wrong command lines is 2, and that of unreachable peers 3.
func TestExitStatus(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, test := range []struct {
		args   string
		status int
	}{
		{"", exitUsage},
		{"nosuch", exitUsage},
		{"-h", 0}, {"call -h", 0}, {"call --help", 0}, {"help call", 0}, {"-version", 0}, {"--version", 0},
		{"man", 0}, {"man call", 0}, {"man nosuch", exitUsage},
		{"completion bash", 0}, {"completion zsh", 0}, {"completion fish", 0},
		{"call", exitUsage}, {"call x", exitUsage}, {"call x y z a", exitUsage},
		{"call x.sock a.B", exitUnreachable}, {"call x.sock a.B/C", exitUnreachable},
		{"call x.sock B", exitUsage}, {"call x.sock /", exitUsage}, {"call x.sock a/", exitUsage},
		{"call -timeout x x.sock a/B", exitUsage}, {"call -timeout -1s x.sock a/B", exitUsage},
		{"call -max-message 99999999 x.sock a/B", exitUsage}, {"call -max-message -1 x.sock a/B", exitUsage},
		{"call -H : x.sock a/B", exitUsage}, {"call -H", exitUsage},
		{"call vsock://x:1 a/B", exitUsage}, {"call vsock://1 a/B", exitUsage}, {"call vsock://4294967296:1 a/B", exitUsage},
		{"call hvsock:///x a/B", exitUsage}, {"call hvsock://:1 a/B", exitUsage}, {"call hvsock:///x:y a/B", exitUsage},
		{"call hvsock:///nosuch:1 a/B", exitUnreachable},
		{"call tcp://x a/B", exitUsage}, {"call tcp://localhost:1 a/B", exitUnreachable},
		{"call unix:// a/B", exitUsage}, {"call :// a/B", exitUsage},
		{"list", 0}, {"list nosuch", exitUsage}, {"list /nosuch", exitUnreachable}, {"list -proto nosuch.proto", exitUsage},
		{"list containerd.task.v2.StateRequest", exitUsage},
		{"describe", exitUsage}, {"describe nosuch", exitUsage}, {"describe .", exitUsage}, {"describe containerd.task.v2.Task/State", 0},
		{"describe google.protobuf.Any", 0}, {"describe google.protobuf.Any.value", 0}, {"describe google.protobuf.FieldDescriptorProto.Type", 0},
	} {
		args := strings.Fields(test.args)
		if status, out := runWithoutPeers(t, args); status != test.status {
			t.Errorf("ttrpc %s: exit status %d, want %d\n%s", test.args, status, test.status, out)
		}
	}
}

// A peer's text does not command the terminal.
func TestReportIsPrintable(t *testing.T) {
	cmd := newRootCmd()
	var b bytes.Buffer
	cmd.SetErr(&b)
	if status := report(cmd, &exitError{exitFailed, errors.New("NotFound: \x1b[2Jno\n\u009bsuch")}); status != exitFailed {
		t.Errorf("the status is %d", status)
	}
	if got, want := b.String(), "ttrpc: NotFound: \ufffd[2Jno\n\ufffdsuch\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// Every verb's help has three examples.
func TestHelpHasExamples(t *testing.T) {
	for _, cmd := range newRootCmd().Commands() {
		if cmd.Short == "" {
			continue // it is not there yet
		}
		switch cmd.Name() {
		case "call", "list", "describe", "trace", "ping", "load", "man":
			if n := strings.Count(cmd.Example, "  ttrpc "+cmd.Name()); n < 3 {
				t.Errorf("ttrpc %s -h has %d examples, want 3", cmd.Name(), n)
			}
		}
	}
}

// FuzzArguments executes command lines, of arguments that a line break ends. None panics,
// and the exit status is one of those that the help names.
func FuzzArguments(f *testing.F) {
	for _, args := range []string{
		"call\nx.sock\na.B/C\n{}", "call\n-H\nk:v\n-timeout=1s\n@x\na/B\n-", "list\n-proto\nx.proto\n-I\n.",
		"describe\n-protoset\n/dev/null\na.B", "call\nvsock://1:2\na/B", "call\nhvsock:///x:2\na/B", "-vH\n--\n-", "completion\nbash",
		"man\ncall", "__complete\ncall\nx\n", "describe\nx\x00\ny", "call\n\n\n\n",
	} {
		f.Add(args)
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, text string) {
		args := strings.Split(text, "\n")
		for _, arg := range args {
			// Long ones of these make files and listeners.
			if arg == "trace" || arg == "load" || strings.Contains(arg, "/dev/") && arg != "/dev/null" {
				t.Skip()
			}
		}
		if err := os.Chdir(dir); err != nil {
			t.Fatal(err)
		}
		if status, out := runWithoutPeers(t, args); status < 0 || status > exitUnreachable {
			t.Errorf("exit status %d\n%s", status, out)
		}
	})
}
