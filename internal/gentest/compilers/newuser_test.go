package compilers

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// These tests walk as a new user does: a module of its own, the plugins as the documents
// say, a server, a client, and mistakes with the texts that they get.

// addPrograms copies programs of testdata/newuser to the project.
func (p *project) addPrograms(names ...string) {
	p.t.Helper()
	for _, name := range names {
		if err := os.CopyFS(filepath.Join(p.dir, name), os.DirFS(filepath.Join("testdata", "newuser", name))); err != nil {
			p.t.Fatal(err)
		}
	}
}

// buildPrograms compiles the code of one generator with the programs, into bin.
func (p *project) buildPrograms(names ...string) {
	p.t.Helper()
	p.run("go", "mod", "tidy")
	p.run("go", "vet", "./...")
	args := []string{"build", "-o", "bin/"}
	for _, name := range names {
		args = append(args, "./"+name)
	}
	p.run("go", args...)
}

// removeCode makes room for the code of the next generator.
func (p *project) removeCode() {
	p.t.Helper()
	for _, pattern := range []string{"api/v1/*.pb.go", "bin/server", "bin/client"} {
		files, err := filepath.Glob(filepath.Join(p.dir, pattern))
		if err != nil {
			p.t.Fatal(err)
		}
		for _, f := range files {
			if err := os.Remove(f); err != nil {
				p.t.Fatal(err)
			}
		}
	}
}

// serveAndCall runs the server, and the client against it, and ends the server.
func (p *project) serveAndCall() {
	p.t.Helper()
	socket := filepath.Join(p.dir, "s")
	server := exec.Command(filepath.Join(p.dir, "bin", "server"), socket)
	server.Stderr = os.Stderr
	stdin, err := server.StdinPipe()
	if err != nil {
		p.t.Fatal(err)
	}
	stdout, err := server.StdoutPipe()
	if err != nil {
		p.t.Fatal(err)
	}
	if err := server.Start(); err != nil {
		p.t.Fatal(err)
	}
	defer server.Wait()
	defer stdin.Close()
	if line, err := bufio.NewReader(stdout).ReadString('\n'); line != "ready\n" {
		p.t.Fatalf("the server says %q, %v", line, err)
	}
	const want = "about bolts\nfirst about bolts\nsecond about bolts\n"
	if got := p.run("bin/client", socket); got != want {
		p.t.Errorf("the client prints\n%s\nwant\n%s", got, want)
	}
	stdin.Close()
	if _, err := io.Copy(io.Discard, stdout); err != nil {
		p.t.Error(err)
	}
	if err := server.Wait(); err != nil {
		p.t.Errorf("the server ends with %v", err)
	}
	if _, err := os.Stat(socket); !os.IsNotExist(err) {
		p.t.Errorf("the server leaves its socket behind: %v", err)
	}
}

// A new program is generated four ways, built and run.
func TestNewUser(t *testing.T) {
	p := newProject(t)
	p.addPrograms("server", "client")
	p.run("go", "get", "-tool", ttrpc+"/cmd/protoc-gen-gogottrpc@v1.2.10")
	p.run("go", "build", "-o", "bin/", "tool")
	p.write("buf.gen.yaml", p.docs.get(t, "# buf.gen.yaml"))
	p.write("Protobuild.toml", p.docs.get(t, "# Protobuild.toml"))
	for _, way := range []struct {
		name     string
		generate func()
	}{
		{"protoc", func() { p.script("# protoc") }},
		{"buf", func() { p.run("buf", "generate") }},
		{"protobuild", func() { p.run("protobuild", "./...") }},
		{"protoc with gogo", func() { p.script("# protoc with gogo") }},
	} {
		t.Log(way.name)
		way.generate()
		p.buildPrograms("server", "client")
		p.serveAndCall()
		p.removeCode()
	}
	if got := p.run("go", "list", "-m", ttrpc); !strings.Contains(got, " => ../ttrpc") {
		t.Errorf("after all of it the program has %s", got)
	}
}

// mistake has the text of a user's mistake: each of these lines is a regular expression
// of the whole line that the program prints.
type mistake struct {
	name  string
	lines []string
}

var mistakes = []mistake{
	{"nil-connection", []string{`panic: ttrpc: nil connection`}},
	{"nil-implementation", []string{`panic: ttrpc: nil implementation of service notes\.v1\.Notes registered`}},
	{"call-of-stream", []string{`.* = /notes\.v1\.Notes/Watch is a stream; call it with NewStream`}},
	{"stream-of-call", []string{`.* = /notes\.v1\.Notes/Get is unary; call it with Call`}},
	{"message-value", []string{
		`ttrpc: notes\.GetRequest is not a protobuf message; did you mean \*notes\.GetRequest\?`,
		`ttrpc: notes\.Note is not a protobuf message; did you mean \*notes\.Note\?`,
	}},
	{"long-request", []string{`.*message length \d+ exceed maximum message size of 4194304: the request was not sent; Limits\.MaxMessageLength is the limit`}},
	{"long-response", []string{`.*message length \d+ exceed maximum message size of 4194304: the response was not sent; Limits\.MaxMessageLength is the limit`}},
	{"dropped-request", []string{`.*message length \d+ exceed maximum message size of 4194304: the server dropped the request; Limits\.MaxMessageLength is the limit`}},
	{"stream-not-read", []string{`ttrpc: stream buffer full: RecvMsg was not called for 1s`}},
	{"too-many-calls", []string{`.* = more than 1 call at once on this connection: see WithServerMaxCalls`}},
	{"sending-at-reader", []string{`ttrpc: protocol error: the client of this stream does not send`}},
	{"metadata-capitals", []string{`Get finds \[a secret\]`, `after Set it finds \[a new secret\] of 1`, `the handler has a new secret`}},
	{"metadata-passed-on", []string{`pass on: the handler has a secret`, `do not: the handler has nothing`}},
	{"interceptor", []string{`the invoker returns <nil> and the status is NotFound`, `the call returns .*no such note`}},
	{"http-client", []string{`ttrpc: connection .* failed: protocol error: the peer speaks HTTP, not ttrpc`}},
	{"http2-client", []string{`ttrpc: connection .* failed: protocol error: the peer speaks HTTP/2 \(gRPC\?\), not ttrpc`}},
	{"tls-client", []string{`ttrpc: connection .* failed: protocol error: the peer speaks TLS, not ttrpc`}},
	{"http-server", []string{`ttrpc: connection failed: protocol error: the peer speaks HTTP, not ttrpc`}},
	{"no-such-path", []string{`ttrpc: cannot connect to .*/none/s: no such path, and no directory .*/none: .*`}},
	{"nobody-listens", []string{`ttrpc: cannot connect to .*/stale: nobody listens: the server that made the socket has ended: .*`}},
	{"not-a-socket", []string{`ttrpc: cannot connect to .*/file: the file is not a socket, but .*`}},
}

// Each mistake of a user gets an error, a panic or a line in the log that names it.
func TestNewUserMistakes(t *testing.T) {
	p := newProject(t)
	p.addPrograms("mistakes")
	p.script("# protoc")
	p.buildPrograms("mistakes")
	for _, m := range mistakes {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel() // one of them waits
			cmd := exec.Command(filepath.Join(p.dir, "bin", "mistakes"), m.name, t.TempDir())
			out, err := cmd.CombinedOutput()
			lines := strings.Split(strings.TrimRight(string(out), "\n"), "\n")
			if strings.HasPrefix(m.lines[0], "panic: ") {
				if cmd.ProcessState.ExitCode() != 2 {
					t.Errorf("the program ends with %v", err)
				}
				lines = lines[:1] // the rest is the stack
			} else if err != nil {
				t.Errorf("the program ends with %v", err)
			}
			if len(lines) != len(m.lines) {
				t.Fatalf("it prints\n%s\nwant\n%s", out, strings.Join(m.lines, "\n"))
			}
			for i, want := range m.lines {
				if !regexp.MustCompile("^(?:" + want + ")$").MatchString(lines[i]) {
					t.Errorf("it prints %q, want %s", lines[i], want)
				}
			}
		})
	}
}

// Options that are misspelt are errors, with the compilers that projects use.
func TestNewUserOptions(t *testing.T) {
	p := newProject(t)
	p.run("go", "get", "-tool", ttrpc+"/cmd/protoc-gen-gogottrpc@v1.2.10")
	p.run("go", "build", "-o", "bin/", "tool")
	p.write("buf.gen.yaml", strings.ReplaceAll(p.docs.get(t, "# buf.gen.yaml"), "opt: paths=", "opt: path="))
	p.write("Protobuild.toml", p.docs.get(t, "# Protobuild.toml")+"[parameters.go-ttrpc]\nprefixes = \"TTRPC\"\n")
	const proto = "api/v1/notes.proto"
	for _, test := range []struct {
		want string
		args []string
	}{
		{`unknown option "path"; see protoc-gen-go-ttrpc -help`, []string{"protoc", "--go-ttrpc_out=.", "--go-ttrpc_opt=path=source_relative", proto}},
		{`unknown option "path"; see protoc-gen-gogottrpc -help`, []string{"protoc", "--gogottrpc_out=plugins=ttrpc,path=source_relative:.", proto}},
		{`unknown option "path"; see protoc-gen-go-ttrpc -help`, []string{"buf", "generate"}},
		{`unknown option "prefixes"; see protoc-gen-go-ttrpc -help`, []string{"protobuild", "./..."}},
	} {
		cmd := exec.Command("env", test.args...)
		cmd.Dir, cmd.Env = p.dir, p.env
		if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), test.want) {
			t.Errorf("%s: ended with %v and\n%s\nwant %s", strings.Join(test.args, " "), err, out, test.want)
		}
	}
	p.removeCode()
	for _, plugin := range []string{"protoc-gen-go-ttrpc", "protoc-gen-gogottrpc"} {
		for flag, want := range map[string]string{"-version": "=> ../ttrpc", "-help": "paths="} {
			if out := p.run(plugin, flag); !strings.Contains(out, want) {
				t.Errorf("%s %s prints\n%s\nwant %s", plugin, flag, out, want)
			}
		}
	}
}
