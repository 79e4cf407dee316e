package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// tools are the programs of a run.
type tools struct {
	Bin     map[string]string // variant to the directory of its programs
	Runc    string
	Busybox string
	TTRPC   string   // the command-line tool of this checkout
	About   []string // one line for each variant, and runc
}

func (t tools) describe() string {
	return strings.Join(t.About, "\n") + "\n"
}

// checkMachine returns errCannotRun, with the reason, where containers cannot
// run for a reason that no package changes.
func checkMachine() error {
	if err := checkPlatform(); err != nil {
		return fmt.Errorf("%w: %w", errCannotRun, err)
	}
	for _, program := range []string{"go", "nice", "apt-get", "dpkg-deb"} {
		if _, err := exec.LookPath(program); err != nil {
			return fmt.Errorf("%w: %w", errCannotRun, err)
		}
	}
	return nil
}

// prepare builds and fetches the tools of the run, and reuses those that are there.
func prepare(ctx context.Context, o options) (tools, error) {
	t := tools{Bin: map[string]string{}}
	if err := os.MkdirAll(o.build, 0o755); err != nil {
		return t, err
	}
	need := map[string]bool{}
	for _, p := range o.pairings {
		need[p.Daemon], need[p.Shim] = true, true
	}
	if o.memory {
		need[ours], need[stock] = true, true
	}
	if err := prepareDebian(ctx, o, &t); err != nil {
		return t, err
	}
	var err error
	if t.TTRPC, err = buildTool(ctx, o); err != nil {
		return t, err
	}
	for _, b := range consumerBuilds() {
		if !need[b.variant] {
			continue
		}
		about, err := b.build(ctx, filepath.Join(o.build, b.variant))
		if err != nil {
			return t, err
		}
		t.Bin[b.variant] = filepath.Join(o.build, b.variant)
		t.About = append(t.About, about)
	}
	return t, nil
}

// debianPackages are unpacked into the build directory, not installed: no
// service starts, no file of the machine changes, and a machine that has
// another containerd keeps it.
var debianPackages = []string{"containerd", "runc", "busybox-static"}

func prepareDebian(ctx context.Context, o options, t *tools) error {
	dir := filepath.Join(o.build, debian)
	root := filepath.Join(dir, "root")
	stamp := filepath.Join(dir, "versions")
	if _, err := os.Stat(stamp); err != nil {
		if err := unpackDebian(ctx, dir, root, stamp); err != nil {
			return fmt.Errorf("%w: Debian packages %s: %w",
				errCannotRun, strings.Join(debianPackages, " "), err)
		}
	}
	versions, err := os.ReadFile(stamp)
	if err != nil {
		return err
	}
	t.Bin[debian] = filepath.Join(root, "usr/bin")
	t.Runc = filepath.Join(root, "usr/sbin/runc")
	t.Busybox = filepath.Join(root, "bin/busybox")
	out, err := command(ctx, "", t.Runc, "--version")
	if err != nil {
		return fmt.Errorf("%w: no working runc: %w", errCannotRun, err)
	}
	runcVersion, _, _ := strings.Cut(out, "\n")
	t.About = append(t.About, runcVersion+" (Debian)",
		debian+": "+strings.TrimSpace(string(versions)))
	return nil
}

// unpackDebian downloads the packages, unpacks them into root and writes their
// versions to stamp.
func unpackDebian(ctx context.Context, dir, root, stamp string) error {
	fmt.Println("fetching Debian's", strings.Join(debianPackages, ", "))
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	if err := os.MkdirAll(root, 0o755); err != nil {
		return err
	}
	download := append([]string{"apt-get", "-q", "download"}, debianPackages...)
	if _, err := command(ctx, dir, download...); err != nil {
		// A fresh machine has no package lists yet.
		if _, err := command(ctx, "", "apt-get", "-q", "update"); err != nil {
			return err
		}
		if _, err := command(ctx, dir, download...); err != nil {
			return err
		}
	}
	debs, err := filepath.Glob(filepath.Join(dir, "*.deb"))
	if err != nil {
		return err
	}
	var about string
	for _, deb := range debs {
		if _, err := command(ctx, "", "dpkg-deb", "-x", deb, root); err != nil {
			return err
		}
		if !strings.HasPrefix(filepath.Base(deb), "containerd_") {
			continue
		}
		version, err := command(ctx, "", "dpkg-deb", "-f", deb, "Version")
		if err != nil {
			return err
		}
		about = "containerd " + strings.TrimSpace(version)
		// Debian builds from its own packages of the libraries.
		using, err := command(ctx, "", "dpkg-deb", "-f", deb, "Built-Using")
		if err != nil {
			return err
		}
		for _, source := range strings.Split(using, ",") {
			if strings.Contains(source, "ttrpc") {
				about += ", built with " + strings.TrimSpace(source)
			}
		}
	}
	if about == "" {
		return errors.New("apt-get downloaded no containerd")
	}
	return os.WriteFile(stamp, []byte(about+"\n"), 0o644)
}

// command runs a program to its end and returns its standard output. The
// error has its standard error.
func command(ctx context.Context, dir string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Dir = dir
	cmd.WaitDelay = time.Second
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return string(out), fmt.Errorf("%s: %w: %s", strings.Join(args, " "), err,
			strings.TrimSpace(stderr.String()+string(out)))
	}
	return string(out), nil
}
