package main

import (
	"context"
	"debug/buildinfo"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

const ttrpcModule = "github.com/containerd/ttrpc"

// consumers are the programs that use ttrpc.
var consumers = []string{"containerd", "ctr", "containerd-shim-runc-v2"}

// release is a containerd, which a module of its own pins, in dir. Its go.mod has
// the replace line that a user of this library writes; its stock.mod has not, and
// is the same otherwise.
type release struct {
	dir    string
	module string
	suffix string // of the names of its two builds

	// omitsUnknown: its ctr prints an error of code unknown without that code.
	omitsUnknown bool
	// losesDelete: its shim, told to shut down, does not wait until its last event,
	// /tasks/delete, is published. On a busy machine the event is lost, with the
	// released ttrpc on both sides as well.
	losesDelete bool
}

var releases = []release{
	{dir: "containerd-1.6", module: "github.com/containerd/containerd", suffix: "-1.6"},
	{dir: "containerd-1.7", module: "github.com/containerd/containerd"},
	{dir: "containerd-2.4", module: "github.com/containerd/containerd/v2", suffix: "-2.4", omitsUnknown: true, losesDelete: true},
}

// consumerBuild builds the consumers of one release, with this checkout or as
// released.
type consumerBuild struct {
	variant string
	release release
	ours    bool
}

func consumerBuilds() []consumerBuild {
	var builds []consumerBuild
	for _, r := range releases {
		builds = append(builds,
			consumerBuild{ours + r.suffix, r, true}, consumerBuild{stock + r.suffix, r, false})
	}
	return builds
}

// releaseOf returns the release of a variant; Debian's is not among releases.
func releaseOf(variant string) release {
	for _, b := range consumerBuilds() {
		if b.variant == variant {
			return b.release
		}
	}
	return release{}
}

func (b consumerBuild) modfile() string {
	if b.ours {
		return "go.mod"
	}
	return "stock.mod"
}

// build writes the consumers to dir and describes them.
func (b consumerBuild) build(ctx context.Context, dir string) (string, error) {
	version, err := command(ctx, b.release.dir, "go", "list", "-modfile="+b.modfile(),
		"-m", "-f", "{{.Version}}", b.release.module)
	if err != nil {
		return "", err
	}
	version = strings.TrimSpace(version)
	fmt.Printf("building containerd %s, %s\n", version, b.variant)
	start := time.Now()
	args := []string{
		"-n", "10", "go", "build", "-modfile=" + b.modfile(), "-p", "2", "-trimpath",
		"-tags", "urfave_cli_no_docs",
		"-ldflags", "-s -w -X " + b.release.module + "/version.Version=" + version,
		"-o", dir + "/",
	}
	for _, program := range consumers {
		args = append(args, b.release.module+"/cmd/"+program)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, "nice", args...)
	cmd.Dir = b.release.dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	cmd.Stderr = os.Stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("building %s: %w", b.variant, err)
	}
	library := ""
	for _, program := range consumers {
		if library, err = b.check(filepath.Join(dir, program)); err != nil {
			return "", err
		}
	}
	return fmt.Sprintf("%s: containerd %s, built with %s (%.0fs)",
		b.variant, version, library, time.Since(start).Seconds()), nil
}

// check reads from a program which ttrpc it was built with, so that a pairing
// tests the builds of its name.
func (b consumerBuild) check(path string) (string, error) {
	info, err := buildinfo.ReadFile(path)
	if err != nil {
		return "", err
	}
	for _, dep := range info.Deps {
		if dep.Path != ttrpcModule {
			continue
		}
		if replaced := dep.Replace != nil; replaced != b.ours {
			return "", fmt.Errorf("%s (%s): ttrpc replaced is %t", path, b.variant, replaced)
		}
		if dep.Replace != nil {
			return "this checkout in place of ttrpc " + dep.Version, nil
		}
		return "ttrpc " + dep.Version, nil
	}
	return "", fmt.Errorf("%s is not built with ttrpc", path)
}
