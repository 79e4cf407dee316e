// Package compilers runs the generators from the compilers that projects use,
// in the way that cmd/README.md says.
package compilers

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const repository = "../../.."

// tools has buf and protobuild, built once: they are large.
var tools string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "tools")
	if err != nil {
		panic(err)
	}
	tools = dir
	cmd := exec.Command("go", "build", "-o", dir+string(filepath.Separator), "tool")
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	if err := cmd.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "building the compilers:", err)
		os.Exit(1)
	}
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// Each test works in a project like that of cmd/README.md, in a GOPATH because protobuild
// wants one.
type project struct {
	t    *testing.T
	dir  string   // GOPATH/src/example.com/notes
	env  []string // with the tools of the project and of this module in PATH
	docs blocks
}

// newProject makes a project with the plugins installed as the documents say.
func newProject(t *testing.T) *project {
	t.Helper()
	if _, err := exec.LookPath("protoc"); err != nil {
		if os.Getenv("TTRPC_TEST_REQUIRE_PROTOC") != "" {
			t.Fatal(err)
		}
		t.Skip("protoc is not installed; Debian has it as protobuf-compiler, with libprotobuf-dev")
	}
	p := emptyProject(t)
	p.write("api/v1/doc.go", "package notes\n")
	p.write("api/v1/notes.proto", p.docs.get(t, "// api/v1/notes.proto"))
	p.script("# new program")
	p.script("# install")
	return p
}

// emptyProject makes a project with a go.mod and nothing in it, and this module
// beside it, where the documents have it.
func emptyProject(t *testing.T) *project {
	t.Helper()
	root, err := filepath.Abs(repository)
	if err != nil {
		t.Fatal(err)
	}
	tmp := t.TempDir()
	p := &project{
		t:    t,
		dir:  filepath.Join(tmp, "src", "example.com", "notes"),
		docs: readBlocks(t),
	}
	modcache := strings.TrimSpace(p.runIn(".", nil, "go", "env", "GOMODCACHE"))
	p.env = append(os.Environ(),
		"GOPATH="+tmp, "GOMODCACHE="+modcache, "GOFLAGS=-mod=mod",
		"PATH="+strings.Join([]string{filepath.Join(p.dir, "bin"), tools, os.Getenv("PATH")}, string(filepath.ListSeparator)))
	p.write("go.mod", "module example.com/notes\n\ngo 1.24\n")
	if err := os.Symlink(root, filepath.Join(p.dir, "..", "ttrpc")); err != nil {
		t.Fatal(err)
	}
	return p
}

// script runs the lines of a code block of the documents.
func (p *project) script(firstLine string) string {
	p.t.Helper()
	return p.run("bash", "-euo", "pipefail", "-c", p.docs.get(p.t, firstLine))
}

func (p *project) write(name, content string) {
	p.t.Helper()
	path := filepath.Join(p.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		p.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o666); err != nil {
		p.t.Fatal(err)
	}
}

// run runs a command in the project and returns its output.
func (p *project) run(name string, args ...string) string {
	p.t.Helper()
	return p.runIn(p.dir, p.env, name, args...)
}

func (p *project) runIn(dir string, env []string, name string, args ...string) string {
	p.t.Helper()
	// A program is looked up in the PATH of its environment, not in ours.
	args = append([]string{name}, args...)
	cmd := exec.Command("env", args...)
	cmd.Dir, cmd.Env = dir, env
	out, err := cmd.CombinedOutput()
	if err != nil {
		p.t.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// takeCode returns a generated file, after a look at whether all of the
// project's code compiles, and removes the generated files.
func (p *project) takeCode(name string) string {
	p.t.Helper()
	p.run("go", "mod", "tidy")
	p.run("go", "vet", "./...")
	code, err := os.ReadFile(filepath.Join(p.dir, name))
	if err != nil {
		p.t.Fatal(err)
	}
	for _, f := range []string{"api/v1/notes.pb.go", "api/v1/notes_ttrpc.pb.go"} {
		os.Remove(filepath.Join(p.dir, f))
	}
	return string(code)
}

func TestProtobufGo(t *testing.T) {
	p := newProject(t)
	const stubs = "api/v1/notes_ttrpc.pb.go"

	p.run("bash", "-euo", "pipefail", "-c", p.docs.get(t, "# protoc"))
	protoc := p.takeCode(stubs)
	for _, want := range []string{
		"// Notes keeps short texts.\ntype NotesService interface {\n\t// Get returns one note.\n\tGet(",
		"type NotesClient interface {",
	} {
		if !strings.Contains(protoc, want) {
			t.Errorf("the code lacks %q:\n%s", want, protoc)
		}
	}

	p.write("buf.gen.yaml", p.docs.get(t, "# buf.gen.yaml"))
	p.run("buf", "generate")
	if buf := p.takeCode(stubs); buf != protoc {
		t.Errorf("buf makes\n%s\nprotoc makes\n%s", buf, protoc)
	}

	// protobuild names the proto file by its path in the GOPATH.
	p.write("Protobuild.toml", p.docs.get(t, "# Protobuild.toml"))
	p.run("protobuild", "./...")
	protobuild := strings.Replace(p.takeCode(stubs), "// source: example.com/notes/", "// source: ", 1)
	if protobuild != protoc {
		t.Errorf("protobuild makes\n%s\nprotoc makes\n%s", protobuild, protoc)
	}
	p.write("Protobuild.toml", p.docs.get(t, "# Protobuild.toml")+"[parameters.go-ttrpc]\nprefix = \"TTRPC\"\n")
	p.run("protobuild", "./...")
	if code := p.takeCode(stubs); !strings.Contains(code, "type TTRPCNotesService interface {") {
		t.Errorf("no prefix in\n%s", code)
	}

	// Fields that are optional in proto3 are for compilers to refuse unless
	// the plugin says otherwise.
	p.write("api/v1/notes.proto", strings.Replace(p.docs.get(t, "// api/v1/notes.proto"), "string text", "optional string text", 1))
	p.run("bash", "-euo", "pipefail", "-c", p.docs.get(t, "# protoc"))
	if optional := p.takeCode(stubs); optional != protoc {
		t.Errorf("with an optional field protoc makes\n%s\nwithout\n%s", optional, protoc)
	}
}

func TestGogo(t *testing.T) {
	p := newProject(t)
	p.run("go", "get", "-tool", "github.com/containerd/ttrpc/cmd/protoc-gen-gogottrpc@v1.2.10")
	p.run("go", "build", "-o", "bin/", "tool")
	const code = "api/v1/notes.pb.go"

	p.run("bash", "-euo", "pipefail", "-c", p.docs.get(t, "# protoc with gogo"))
	protoc := p.takeCode(code)
	for _, want := range []string{
		"func (m *Note) MarshalTo(",
		"// Notes keeps short texts.\ntype NotesService interface {\n\t// Get returns one note.\n\tGet(",
		"type NotesClient interface {",
	} {
		if !strings.Contains(protoc, want) {
			t.Errorf("the code lacks %q:\n%s", want, protoc)
		}
	}
	p.write("Protobuild.toml", p.docs.get(t, "# Protobuild.toml for gogo"))
	p.run("protobuild", "./...")
	if protobuild := p.takeCode(code); stubsOf(t, protobuild) != stubsOf(t, protoc) {
		t.Errorf("protobuild makes\n%s\nprotoc makes\n%s", stubsOf(t, protobuild), stubsOf(t, protoc))
	}
}

// stubsOf returns the part of gogo's code that the ttrpc plugin writes.
func stubsOf(t *testing.T, code string) string {
	t.Helper()
	start, end := strings.Index(code, "// Notes keeps"), strings.Index(code, "func (m *GetRequest) Unmarshal(")
	if start < 0 || end < start {
		t.Fatalf("no stubs in\n%s", code)
	}
	return code[start:end]
}

// protoc makes the checked-in code from the proto files of the generators' tests.
func TestGolden(t *testing.T) {
	p := newProject(t)
	golden, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	list, err := filepath.Glob(filepath.Join(golden, "testdata", "pbgo", "*", "*_ttrpc.pb.go"))
	if err != nil || len(list) == 0 {
		t.Fatalf("no golden files: %v", err)
	}
	for _, path := range list {
		rel, err := filepath.Rel(filepath.Join(golden, "testdata", "pbgo"), path)
		if err != nil {
			t.Fatal(err)
		}
		proto := strings.TrimSuffix(rel, "_ttrpc.pb.go") + ".proto"
		p.run("protoc", "-I", filepath.Join(golden, "proto"), "--go-ttrpc_out=.", "--go-ttrpc_opt=module=github.com/containerd/ttrpc/internal/gentest/testdata/pbgo", proto)
		got, err := os.ReadFile(filepath.Join(p.dir, rel))
		if err != nil {
			t.Fatal(err)
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != string(want) {
			t.Errorf("%s: with protoc the generator writes\n%s\nwant\n%s", rel, got, want)
		}
	}
}

// A failure of the plugin is a failure of the compiler, with the plugin's words.
func TestErrors(t *testing.T) {
	p := newProject(t)
	p.write("bad.proto", "syntax = \"proto3\";\nservice S {}\n")
	cmd := exec.Command("env", "protoc", "--go-ttrpc_out=.", "bad.proto")
	cmd.Dir, cmd.Env = p.dir, p.env
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), `protoc-gen-go-ttrpc: unable to determine Go import path for "bad.proto"`) {
		t.Errorf("protoc ended with %v and\n%s", err, out)
	}
}

// documents have the code blocks that these tests run.
var documents = []string{"README.md", "SWITCHING.md", "cmd/README.md"}

// blocks has the code blocks of the documents by their first lines.
type blocks map[string]string

func readBlocks(t *testing.T) blocks {
	t.Helper()
	block := regexp.MustCompile("(?ms)^```[a-z]+\n(.*?\n)(.*?)^```$")
	b := make(blocks)
	for _, name := range documents {
		text, err := os.ReadFile(filepath.Join(repository, filepath.FromSlash(name)))
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range block.FindAllStringSubmatch(string(text), -1) {
			b[strings.TrimSpace(m[1])] = m[1] + m[2]
		}
	}
	return b
}

func (b blocks) get(t *testing.T, firstLine string) string {
	t.Helper()
	block, ok := b[firstLine]
	if !ok {
		t.Fatalf("no document has a code block that begins with %q", firstLine)
	}
	return block
}
