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

const (
	containerdModule = "github.com/containerd/containerd"
	ttrpcModule      = "github.com/containerd/ttrpc"
)

// consumers are the programs that use ttrpc, all pinned in go.mod.
var consumers = []string{"containerd", "ctr", "containerd-shim-runc-v2"}

// consumerBuild builds the consumers. The two builds differ in one line: go.mod
// has the replace directive that a user of this library writes, stock.mod has
// not.
type consumerBuild struct {
	variant string
	modfile string
}

var consumerBuilds = []consumerBuild{
	{ours, "go.mod"},
	{stock, "stock.mod"},
}

// build writes the consumers to dir and describes them.
func (b consumerBuild) build(ctx context.Context, dir string) (string, error) {
	version, err := command(ctx, "", "go", "list", "-modfile="+b.modfile,
		"-m", "-f", "{{.Version}}", containerdModule)
	if err != nil {
		return "", err
	}
	version = strings.TrimSpace(version)
	fmt.Printf("building containerd %s, %s\n", version, b.variant)
	start := time.Now()
	args := []string{
		"-n", "10", "go", "build", "-modfile=" + b.modfile, "-p", "2", "-trimpath",
		"-tags", "urfave_cli_no_docs",
		"-ldflags", "-s -w -X " + containerdModule + "/version.Version=" + version,
		"-o", dir + "/",
	}
	for _, program := range consumers {
		args = append(args, containerdModule+"/cmd/"+program)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, "nice", args...)
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
// cannot claim what it does not test.
func (b consumerBuild) check(path string) (string, error) {
	info, err := buildinfo.ReadFile(path)
	if err != nil {
		return "", err
	}
	for _, dep := range info.Deps {
		if dep.Path != ttrpcModule {
			continue
		}
		if replaced := dep.Replace != nil; replaced != (b.variant == ours) {
			return "", fmt.Errorf("%s (%s): ttrpc replaced is %t", path, b.variant, replaced)
		}
		if dep.Replace != nil {
			return "this checkout in place of ttrpc " + dep.Version, nil
		}
		return "ttrpc " + dep.Version, nil
	}
	return "", fmt.Errorf("%s is not built with ttrpc", path)
}
