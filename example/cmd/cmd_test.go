package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"
)

// asProgram in the environment makes the test binary the program itself.
const asProgram = "TTRPC_EXAMPLE_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// program returns the program with these arguments, ready to start.
func program(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, self, args...)
	cmd.Env = append(os.Environ(), asProgram+"=1")
	return cmd
}

// result is how a run of the program ended.
type result struct {
	code           int
	stdout, stderr string
}

// execute runs the program to its end.
func execute(t *testing.T, args ...string) result {
	t.Helper()
	cmd := program(t, args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return result{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// want fails the test unless the output has matches of the expressions in this
// order. A "client" or "server" line may stand before or after the other's.
func want(t *testing.T, output string, expressions ...string) {
	t.Helper()
	rest := output
	for _, expression := range expressions {
		match := regexp.MustCompile("(?m)" + expression).FindStringIndex(rest)
		if match == nil {
			t.Fatalf("nothing like %q where it should be in:\n%s", expression, output)
		}
		rest = rest[match[1]:]
	}
}

// clientLines are printed by a client in the steps of the walk.
var clientLines = []string{
	`^1\. A unary call$`, `client: there are \d+ of "bolt"$`,
	`^2\. Metadata$`, `client: took 4 of "bolt", \d+ are left`,
	`^3\. Interceptors$`, `client: an interceptor gave this call request-id 3$`,
	`client: and timed it: /ttrpc\.example\.inventory\.v1\.Inventory/GetItem took [0-9.]+[µm]?s;$`,
	`^4\. Peer credentials$`, `client: I am pid \d+, uid -?\d+, gid -?\d+$`,
	`^5\. A stream from the server$`, `client: received \d+ of "bolt"$`, `client: received \d+ of "washer"$`, `client: end of the list$`,
	`^6\. A stream from the client$`, `client: sent 24 of "bolt"$`, `client: the server added 3 messages, 526 pieces$`,
	`^7\. A stream both ways$`, `client: bolt\? \d+$`, `client: spanner\? 0$`, `client: done on both sides$`,
	`^8\. Errors with details$`, `client: NotFound: no item "bold"$`, `details: "bold" is missing, similar: bolt$`,
	`client: FailedPrecondition: too few of "nut"$`, `details: 1000 of "nut" wanted, \d+ available$`,
	`^9\. A deadline$`, `client: Restock: context deadline exceeded$`,
	`^10\. A stream that is given up$`, `client: nut\? \d+$`, `client: gave up the stream, and told the server$`,
	`^11\. A stream that nobody reads for a while$`, `client: no answer is read yet`, `client: read the answers to 60000 questions$`,
}

// serverLines are printed by the server in the same steps.
var serverLines = []string{
	`server: listening on .*socket`,
	`server: GetItem from .*; metadata request-id=1$`,
	`server: TakeItem from .*; metadata request-id=2 role=buyer role=mechanic user=ada$`,
	`server: ListItems from .*; metadata request-id=5$`,
	`server: AddItems from .*; metadata request-id=6$`,
	`server: CountItems from .*; metadata request-id=7$`,
	`server: Restock from .*; metadata request-id=10; deadline in \d+ms$`,
}

func TestBoth(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	got := execute(t)
	if got.code != 0 || got.stderr != "" {
		t.Fatalf("exit code %d\n%s", got.code, got.stderr)
	}
	want(t, got.stdout, append(clientLines[:len(clientLines):len(clientLines)],
		`^12\. A graceful shutdown$`, `client: the server is told to stop`, `client: bolt\? 60$`, `client: done`)...)
	want(t, got.stdout, append(serverLines[:len(serverLines):len(serverLines)],
		`server: CountItems from `, `server: no new calls`, `server: all connections are closed$`)...)
	want(t, got.stdout, `server: Restock gives up: context deadline exceeded$`)
	want(t, got.stdout, `server: CountItems ends: .`)
	if runtime.GOOS == "linux" {
		me := regexp.MustCompile(`I am (.*)`).FindStringSubmatch(got.stdout)[1]
		want(t, got.stdout, "server: GetItem from "+me+";")
	}
	if left, _ := filepath.Glob(filepath.Join(os.TempDir(), "*")); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

// server is a running "server" command.
type server struct {
	cmd    *exec.Cmd
	lines  *bufio.Scanner // its output
	output strings.Builder
	stderr bytes.Buffer
}

// startServer returns when the server listens.
func startServer(t *testing.T, socket string) *server {
	t.Helper()
	s := &server{cmd: program(t, "server", "-socket", socket)}
	stdout, err := s.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	s.cmd.Stderr = &s.stderr
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.cmd.Process.Kill(); s.cmd.Wait() })
	s.lines = bufio.NewScanner(stdout)
	if !s.lines.Scan() {
		t.Fatalf("the server printed nothing: %v\n%s", s.cmd.Wait(), &s.stderr)
	}
	s.output.WriteString(s.lines.Text() + "\n")
	return s
}

// wait reads the server's output until the server exits.
func (s *server) wait() result {
	for s.lines.Scan() {
		s.output.WriteString(s.lines.Text() + "\n")
	}
	s.cmd.Wait()
	return result{s.cmd.ProcessState.ExitCode(), s.output.String(), s.stderr.String()}
}

func TestServerAndClient(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "socket")
	s := startServer(t, socket)

	got := execute(t, "client", "-socket", socket)
	if got.code != 0 || got.stderr != "" {
		t.Fatalf("client: exit code %d\n%s", got.code, got.stderr)
	}
	want(t, got.stdout, clientLines...)

	if got := execute(t, "server", "-socket", socket); got.code != 1 || !strings.Contains(got.stderr, "cannot listen on "+socket+": a server listens there already") {
		t.Errorf("a second server: exit code %d, %q", got.code, got.stderr)
	}
	if runtime.GOOS == "windows" {
		t.Skip("the rest interrupts the server, which Windows cannot do to one process")
	}
	if err := s.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	got = s.wait()
	if got.code != 0 || got.stderr != "" {
		t.Errorf("server: exit code %d\n%s", got.code, got.stderr)
	}
	want(t, got.stdout, append(serverLines[:len(serverLines):len(serverLines)],
		`server: no new calls`, `server: all connections are closed$`)...)
	if _, err := os.Lstat(socket); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is still there: %v", err)
	}
}

// A server that was killed leaves its socket; the next one replaces it.
func TestStaleSocket(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "socket")
	startServer(t, socket).kill(t)
	if _, err := os.Lstat(socket); err != nil {
		t.Fatalf("the killed server left no socket: %v", err)
	}
	got := execute(t, "client", "-socket", socket)
	if got.code != 1 || !strings.Contains(got.stderr, "cannot connect to "+socket+": nobody listens") {
		t.Errorf("client: exit code %d, %q", got.code, got.stderr)
	}
	startServer(t, socket)
	if got := execute(t, "client", "-socket", socket); got.code != 0 {
		t.Errorf("client: exit code %d\n%s", got.code, got.stderr)
	}
}

func (s *server) kill(t *testing.T) {
	t.Helper()
	if err := s.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	s.wait()
}

func TestHelp(t *testing.T) {
	for _, args := range [][]string{{"-h"}, {"--help"}, {"server", "-h"}, {"client", "-help"}} {
		got := execute(t, args...)
		if got.code != 0 || got.stderr != "" {
			t.Errorf("%q: exit code %d, %q", args, got.code, got.stderr)
		}
		want(t, got.stdout, `go run ./example/cmd +both`, `server \[-socket path\]`, `client \[-socket path\]`, `default .*ttrpc-example\.sock`)
	}
}

func TestMistakes(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("kept"), 0o600); err != nil {
		t.Fatal(err)
	}
	missing := filepath.Join(dir, "missing")
	long := filepath.Join(dir, strings.Repeat("x", 120))
	for _, c := range []struct {
		args string
		code int
		line string
	}{
		{"serve", 2, `unknown command "serve" (-h prints what there is)`},
		{"-x", 2, `flag provided but not defined: -x (-h prints what there is)`},
		{"-socket s", 2, `flag provided but not defined: -socket (-h prints what there is)`},
		{"server here", 2, `server takes no argument "here" (-h prints what there is)`},
		{"client -socket", 2, `flag needs an argument: -socket (-h prints what there is)`},
		{"client -socket=", 2, `the path of the socket is empty (-h prints what there is)`},
		{"client -socket " + missing, 1, "ttrpc: cannot connect to " + missing + ": no such path: "},
		{"server -socket " + file, 1, "ttrpc: cannot listen on " + file + ": the path exists and is not a socket"},
		{"server -socket " + long, 1, fmt.Sprintf("ttrpc: cannot listen on %s: %d bytes are too long for the path of a socket", long, len(long))},
	} {
		got := execute(t, strings.Fields(c.args)...)
		if got.code != c.code || !strings.HasPrefix(got.stderr, "example: "+c.line) || strings.Count(got.stderr, "\n") != 1 || got.stdout != "" {
			t.Errorf("%s: exit code %d, want %d; printed %q%q, want %q", c.args, got.code, c.code, got.stdout, got.stderr, c.line)
		}
	}
	if b, err := os.ReadFile(file); err != nil || string(b) != "kept" {
		t.Errorf("the file that is not a socket: %q, %v", b, err)
	}
}

// A client whose server goes away says so in each of its waits.
func TestServerGoesAway(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "socket")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			conn.Close()
		}
	}()
	got := execute(t, "client", "-socket", socket)
	if got.code != 1 || got.stderr != "example: A unary call: ttrpc: closed\n" {
		t.Errorf("exit code %d, %q", got.code, got.stderr)
	}
}
