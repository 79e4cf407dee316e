package compilers

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const ttrpc = "github.com/containerd/ttrpc"

// check fails unless the program has this module, in go.mod and in the program that was built.
func (p *project) check(when string) {
	p.t.Helper()
	if got := p.run("go", "list", "-m", ttrpc); !strings.Contains(got, " => ../ttrpc") {
		p.t.Errorf("%s the program has %s", when, got)
	}
	p.run("go", "build", "-o", "program", ".")
	if got := p.run("go", "version", "-m", "program"); !strings.Contains(got, "=>\t../ttrpc") {
		p.t.Errorf("%s the program was built from\n%s", when, got)
	}
}

// newProgram makes a program that uses ttrpc, whose go.mod requires a version of it
// or none.
func newProgram(t *testing.T, version string) *project {
	t.Helper()
	p := emptyProject(t)
	p.write("main.go", "package main\n\nimport \""+ttrpc+"\"\n\nfunc main() { println(ttrpc.ErrClosed.Error()) }\n")
	if version != "" {
		p.run("go", "mod", "edit", "-require="+ttrpc+"@"+version)
		p.run("go", "mod", "tidy")
	}
	return p
}

// install runs the lines of cmd/README.md for the plugins, with the program's version.
func (p *project) install(version string) {
	p.t.Helper()
	lines := strings.ReplaceAll(p.docs.get(p.t, "# install"), "v1.2.10", version)
	if out := p.run("bash", "-euo", "pipefail", "-c", lines); !strings.Contains(out, "=>") {
		p.t.Errorf("the installation prints no \"=>\":\n%s", out)
	}
	if got := p.run("protoc-gen-go-ttrpc", "-version"); !strings.Contains(got, "=> ../ttrpc") {
		p.t.Errorf("the plugin is %s", got)
	}
}

// A program that has no ttrpc yet gets this one.
func TestRecipeNewProgram(t *testing.T) {
	p := newProgram(t, "")
	p.script("# new program")
	p.run("go", "mod", "tidy")
	p.check("at first")
	p.install("v1.2.10")
	p.check("with the plugins")
}

// A program with a release switches, keeps the library when it installs the plugins,
// loses it to go get -u, and gets it back by the same lines.
func TestRecipeSwitch(t *testing.T) {
	p := newProgram(t, "v1.2.7")
	if out := p.script("# switch"); !strings.Contains(out, ttrpc+" v1.2.7 => ../ttrpc") {
		t.Errorf("the lines print\n%s", out)
	}
	p.check("after the switch")
	p.install("v1.2.7")
	p.check("with the plugins")

	p.run("go", "get", "-u", "./...")
	if got := p.run("go", "list", "-m", ttrpc); strings.Contains(got, "=>") {
		t.Errorf("go get -u has left %s: does SWITCHING.md still have to warn of it?", got)
	}
	p.script("# switch")
	p.check("after go get -u and the lines once more")
}

// Before Go 1.24 a file has the plugins in go.mod.
func TestRecipeToolsFile(t *testing.T) {
	p := newProgram(t, "v1.2.7")
	p.script("# switch")
	p.write("tools/tools.go", p.docs.get(t, "// tools.go"))
	p.script("# install before Go 1.24")
	p.check("with the plugins")
	if got := p.run("protoc-gen-go-ttrpc", "-version"); !strings.Contains(got, "=> ../ttrpc") {
		t.Errorf("the plugin is %s", got)
	}
}

// A vendored program has this library after go mod vendor, and the released one after
// the way back.
func TestRecipeVendor(t *testing.T) {
	p := newProgram(t, "v1.2.7")
	p.env = append(p.env, "GOFLAGS=") // as go has it, which looks at vendor
	p.run("go", "mod", "vendor")
	p.script("# switch")
	p.run("go", "mod", "vendor")
	p.run("go", "build", "-mod=vendor", "-o", "program", ".")
	if _, err := os.Stat(filepath.Join(p.dir, "vendor", filepath.FromSlash(ttrpc), "envelope.go")); err != nil {
		t.Errorf("the vendored library is not this one: %v", err)
	}

	p.run("go", "mod", "edit", "-dropreplace="+ttrpc+"@v1.2.7")
	p.run("go", "mod", "tidy")
	p.run("go", "mod", "vendor")
	p.run("go", "build", "-mod=vendor", "-o", "program", ".")
	if got := p.run("go", "version", "-m", "program"); !strings.Contains(got, ttrpc+"\tv1.2.7") || strings.Contains(got, "=>") {
		t.Errorf("after the way back the program was built from\n%s", got)
	}
}
