// Package containerd compares the stubs of containerd's API, which are checked
// in there, with the output of this module's generator for the same proto files.
package containerd

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/exp/apidiff"
	"golang.org/x/tools/go/packages"

	"github.com/containerd/ttrpc/tools/protogen/compile"

	// Has the module in go.mod.
	_ "github.com/containerd/containerd/api/runtime/task/v3"
)

const apiModule = "github.com/containerd/containerd/api"

func output(t *testing.T, dir, name string, args ...string) string {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd := exec.Command(name, args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, stderr.String())
	}
	return strings.TrimSpace(stdout.String())
}

func TestSameAPI(t *testing.T) {
	released := output(t, ".", "go", "list", "-m", "-f", "{{.Dir}}", apiModule)
	plugin := filepath.Join(t.TempDir(), "protoc-gen-go-ttrpc")
	output(t, ".", "go", "build", "-o", plugin, "github.com/containerd/ttrpc/cmd/protoc-gen-go-ttrpc")

	// The proto files are those that have stubs checked in.
	var files []string
	err := filepath.Walk(released, func(name string, _ os.FileInfo, err error) error {
		if proto, ok := strings.CutSuffix(name, "_ttrpc.pb.go"); ok && err == nil {
			rel, err := filepath.Rel(released, proto+".proto")
			if err != nil {
				return err
			}
			files = append(files, filepath.ToSlash(rel))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 3 {
		t.Fatalf("%s has stubs for %d proto files only", apiModule, len(files))
	}

	// As in the buf.gen.yaml of that module.
	req, err := compile.Request([]compile.Root{{Dir: released}}, files, "paths=source_relative,prefix=TTRPC")
	if err != nil {
		t.Fatal(err)
	}
	resp, err := compile.Run(plugin, req)
	if err != nil {
		t.Fatal(err)
	}
	if len(resp.File) != len(files) {
		t.Errorf("%d files were generated, %d are checked in", len(resp.File), len(files))
	}

	// A copy of the module with the generated files in their places.
	ours := t.TempDir()
	if err := os.CopyFS(ours, os.DirFS(released)); err != nil {
		t.Fatal(err)
	}
	var pkgs []string
	for _, f := range resp.File {
		name := filepath.Join(ours, filepath.FromSlash(f.GetName()))
		if _, err := os.Stat(name); err != nil {
			t.Errorf("the generator names a file %s, which is not checked in", f.GetName())
		}
		os.Remove(name)
		if err := os.WriteFile(name, []byte(f.GetContent()), 0o666); err != nil {
			t.Fatal(err)
		}
		pkgs = append(pkgs, apiModule+"/"+path.Dir(f.GetName()))
	}

	old, new := load(t, released, pkgs), load(t, ours, pkgs)
	for _, pkg := range pkgs {
		t.Run(strings.TrimPrefix(pkg, apiModule+"/"), func(t *testing.T) {
			for _, change := range apidiff.Changes(old[pkg].Types, new[pkg].Types).Changes {
				if change.Compatible && strings.HasSuffix(change.Message, "_FullMethodName: added") {
					continue
				}
				t.Errorf("%s", change.Message)
			}
			was := output(t, released, "go", "doc", "-all", pkg)
			is := output(t, ours, "go", "doc", "-all", pkg)
			if declarations(was) != declarations(is) {
				t.Errorf("go doc -all lacks\n%s\nand has in addition\n%s", added(declarations(is), declarations(was)), added(declarations(was), declarations(is)))
			}
			// Comments may differ: the stubs had none.
			t.Logf("go doc -all lacks\n%s\nand has in addition\n%s", added(is, was), added(was, is))
		})
	}
}

// load type-checks packages of the API module in dir.
func load(t *testing.T, dir string, pkgs []string) map[string]*packages.Package {
	t.Helper()
	cfg := &packages.Config{Mode: packages.NeedName | packages.NeedTypes | packages.NeedImports | packages.NeedDeps | packages.NeedSyntax | packages.NeedTypesInfo, Dir: dir}
	list, err := packages.Load(cfg, pkgs...)
	if err != nil {
		t.Fatal(err)
	}
	loaded := make(map[string]*packages.Package)
	for _, p := range list {
		for _, err := range p.Errors {
			t.Fatal(fmt.Errorf("%s in %s: %w", p.PkgPath, dir, err))
		}
		loaded[p.PkgPath] = p
	}
	return loaded
}

var (
	heading  = regexp.MustCompile(`(?m)^(CONSTANTS|VARIABLES|FUNCTIONS|TYPES)$`)
	indented = regexp.MustCompile(`^(    |\t+//)`)
	blank    = regexp.MustCompile(`^\s*$`)
	// Added since: the names of methods, and the words of go doc around them.
	constants = regexp.MustCompile(`^(\tTTRPC\w+_FullMethodName\s+=.*|const \(|\)|CONSTANTS)$`)
)

// declarations returns the output of go doc without the comments and the names of
// methods.
func declarations(doc string) string {
	if loc := heading.FindStringIndex(doc); loc != nil {
		doc = doc[loc[0]:]
	}
	var lines []string
	for _, line := range strings.Split(doc, "\n") {
		if !indented.MatchString(line) && !constants.MatchString(line) && !blank.MatchString(line) {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "\n")
}

// added returns the lines of a documentation that an earlier one did not have.
func added(was, is string) string {
	had := make(map[string]int)
	for _, line := range strings.Split(was, "\n") {
		had[line]++
	}
	var lines []string
	for _, line := range strings.Split(is, "\n") {
		if had[line]--; had[line] < 0 && !blank.MatchString(line) {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "\n")
}
