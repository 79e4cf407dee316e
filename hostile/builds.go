package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// A build is the victim, compiled against one ttrpc.
type build struct {
	name    string // as the table shows it
	version string // the release, or "" for this checkout
	program string // set by compile
}

func (b *build) ours() bool { return b.version == "" }

// builds are compared. A release's requirements are its own go.mod and go.sum under
// victim/released; this checkout's are victim/go.mod.
var builds = []*build{{name: "ours"}, {name: "v1.2.10", version: "v1.2.10"}}

// compile builds the victim into dir.
func (b *build) compile(ctx context.Context, dir string) error {
	b.program = filepath.Join(dir, b.name)
	args := []string{"build", "-o", b.program}
	if !b.ours() {
		args = append(args, "-tags", "released", "-modfile", filepath.Join("released", b.version+".mod"))
	}
	cmd := exec.CommandContext(ctx, "go", append(args, ".")...)
	cmd.Dir = "victim"
	cmd.Env = append(os.Environ(), "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build of %s: %w\n%s", b.name, err, out)
	}
	return nil
}
