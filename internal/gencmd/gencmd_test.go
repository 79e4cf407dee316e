package gencmd

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

func TestRun(t *testing.T) {
	generate := func(request []byte, warn func(string, ...any)) ([]byte, error) {
		switch string(request) {
		case "fail":
			return nil, errors.New("no such thing")
		case "warn":
			warn("option %q", "x")
		case "panic":
			panic("groups are not supported")
		case "nil":
			var m map[string]int
			//lint:ignore SA5000 the test wants a runtime error
			m["x"]++
		}
		return []byte("answer"), nil
	}
	c := &Command{Name: "plugin", Usage: "  how to\n", Generate: generate}
	for _, test := range []struct {
		name, args, stdin      string
		code                   int
		wantStdout, wantStderr string
	}{
		{"answer", "", "request", 0, "answer", ""},
		{"warning", "", "warn", 0, "answer", "plugin: warning: option \"x\"\n"},
		{"failure", "", "fail", 1, "", "plugin: no such thing\n"},
		{"unsupported", "", "panic", 1, "", "plugin: groups are not supported\n"},
		{"panic", "", "nil", 1, "", "plugin: malformed request: assignment to entry in nil map\n"},
		{"nothing", "", "", 1, "", "plugin: no request on standard input; the protobuf compiler runs this program\n"},
		{"argument", "-foo", "request", 2, "", "plugin: unknown argument \"-foo\"; see plugin -help\n"},
		{"help", "-help", "request", 0, "plugin is a plugin of the protobuf compiler; protoc, buf and protobuild run it.\n\n  how to\n", ""},
	} {
		var stdout, stderr bytes.Buffer
		code := c.Run(strings.Fields(test.args), strings.NewReader(test.stdin), &stdout, &stderr)
		if code != test.code || stdout.String() != test.wantStdout || stderr.String() != test.wantStderr {
			t.Errorf("%s: exit code %d, stdout %q, stderr %q; want %d, %q, %q", test.name,
				code, stdout.String(), stderr.String(), test.code, test.wantStdout, test.wantStderr)
		}
	}
}

func TestVersion(t *testing.T) {
	for _, arg := range []string{"-version", "--version"} {
		var stdout, stderr bytes.Buffer
		code := (&Command{Name: "plugin"}).Run([]string{arg}, nil, &stdout, &stderr)
		name, version, _ := strings.Cut(strings.TrimSpace(stdout.String()), " ")
		if code != 0 || name != "plugin" || version == "" || stderr.Len() > 0 {
			t.Errorf("%s: exit code %d, stdout %q, stderr %q", arg, code, stdout.String(), stderr.String())
		}
	}
}
