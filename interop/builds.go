package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// A build is the peer, compiled against one ttrpc.
type build struct {
	name    string // as the matrix shows it
	version string // the release, or "" for this checkout
	gogo    bool   // its messages are gogo's
	streams bool
	rust    bool // it is peer-rust, and version is that of ttrpc-rust
	variant variant
	wine    string // of a build for Windows: the program that runs it; it speaks over TCP
	program string // set by compile
}

func (b *build) ours() bool { return b.version == "" }

// releases lists all that there are, oldest first, from the state of June 2019 on.
var releases = []*build{
	{name: "2019-06", version: "v0.0.0-20190613183316-1fb3814edf44", gogo: true},
	gogoRelease("v1.0.0"), gogoRelease("v1.0.1"), gogoRelease("v1.0.2"),
	gogoRelease("v1.1.0"), gogoRelease("v1.1.1"), gogoRelease("v1.1.2"),
	release("v1.2.0"), release("v1.2.1"), release("v1.2.2"), release("v1.2.3"),
	release("v1.2.4"), release("v1.2.5"), release("v1.2.6"), release("v1.2.7"),
	release("v1.2.8"), release("v1.2.9"), release("v1.2.10"),
}

// ours lists the builds against this checkout: the sources that the releases
// of each generation compile, unchanged, and with streams in both.
var ours = []*build{
	{name: "ours-gogo", gogo: true, streams: true},
	{name: "ours", streams: true},
}

// rusts are built from peer-rust by cargo, with the ttrpc-rust that Debian has.
var rusts = []*build{
	{name: "rust-sync", version: "0.5.2", rust: true},
	{name: "rust-async", version: "0.5.2", rust: true},
}

// A variant is how a build of this checkout differs from its defaults.
type variant string

const (
	// offers is a client that offers extensions in every request, also to a server that
	// has answered without knowing them, as some proxies do.
	offers variant = "offers"

	// plain has extensions switched off, as if there were none.
	plain variant = "plain"
)

// variants are compiled from the same sources as the last of ours.
var variants = []*build{
	{name: "ours-offers", streams: true, variant: offers},
	{name: "ours-plain", streams: true, variant: plain},
}

func gogoRelease(version string) *build {
	return &build{name: version, version: version, gogo: true}
}

func release(version string) *build {
	return &build{name: version, version: version, streams: true}
}

func (b *build) tags() string {
	var tags []string
	if b.gogo {
		tags = append(tags, "gogo")
	}
	if b.streams {
		tags = append(tags, "streams")
	}
	if b.ours() {
		tags = append(tags, "ours")
	}
	return strings.Join(tags, ",")
}

// compile builds the peer into dir. A release's requirements are its own
// go.mod and go.sum under peer/released; this checkout's are peer/go.mod.
func (b *build) compile(ctx context.Context, dir string, race bool) error {
	if b.rust {
		return b.compileRust(ctx)
	}
	b.program = filepath.Join(dir, b.name)
	output := b.program
	if b.wine != "" {
		output += ".exe"
	}
	args := []string{"build", "-tags", b.tags(), "-o", output}
	if !b.ours() {
		args = append(args, "-modfile", filepath.Join("released", b.version+".mod"))
	} else {
		args = append(args, "-ldflags", "-X main.variant="+string(b.variant))
		if race && b.wine == "" {
			args = append(args, "-race")
		}
	}
	cmd := exec.CommandContext(ctx, "go", append(args, ".")...)
	cmd.Dir = "peer"
	cmd.Env = append(os.Environ(), "GOWORK=off")
	if b.wine != "" {
		cmd.Env = append(cmd.Env, "GOOS=windows", "GOARCH=amd64", "CGO_ENABLED=0")
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build of %s: %w\n%s", b.name, err, out)
	}
	if b.wine != "" {
		if err := b.runUnderWine(output); err != nil {
			return err
		}
	}
	return b.checkCases(ctx)
}

// compileRust builds the peer of this name, in peer-rust/target, where cargo keeps the
// crates compiled for the next time.
func (b *build) compileRust(ctx context.Context) error {
	target, err := filepath.Abs(filepath.Join("peer-rust", "target"))
	if err != nil {
		return err
	}
	b.program = filepath.Join(target, "debug", b.name)
	cmd := exec.CommandContext(ctx, "cargo", "build", "--quiet", "--bin", b.name, "--target-dir", target)
	cmd.Dir = "peer-rust" // whose .cargo/config.toml it reads
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build of %s, which needs cargo and librust-ttrpc-dev: %w\n%s", b.name, err, out)
	}
	return b.checkCases(ctx)
}

// checkCases compares the cases of the program with those that the table wants from
// it, so that no case is left out unnoticed.
func (b *build) checkCases(ctx context.Context) error {
	out, err := exec.CommandContext(ctx, b.program, "cases").Output()
	if err != nil {
		return fmt.Errorf("%s cases: %w", b.name, err)
	}
	has := map[string]bool{}
	for _, name := range strings.Fields(string(out)) {
		has[name] = true
	}
	for _, c := range testCases {
		want := b.streams || (c.needs != needStreams && c.needs != needOurs)
		if c.needs == needGogo {
			want = b.gogo
		}
		if has[c.name] != want {
			return fmt.Errorf("%s: case %s: in the program %v, by the table %v", b.name, c.name, has[c.name], want)
		}
		delete(has, c.name)
	}
	for name := range has {
		return fmt.Errorf("%s: case %s is not in the table", b.name, name)
	}
	return nil
}
