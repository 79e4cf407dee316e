package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

// peer is an implementation under test, with its built programs.
type peer struct {
	// name is the directory in peers, or for another revision of this library
	// ours@REV or ours-gogo@REV.
	name string
	load string // server and client
	tiny string // one-method server, stripped
}

// defaultBase is the peer that ratios are taken against.
const defaultBase = "ttrpc-v1.2.10"

// plainPeer is ours with extensions switched off. It runs only when it is named.
const plainPeer = "ours-plain"

func allPeers() []string {
	return []string{
		"ours", "ours-gogo", defaultBase, "ttrpc-v1.0.2", "grpc", "drpc", "netrpc", "raw",
	}
}

// selectPeers is like selectByName, with revisions beside.
func selectPeers(patterns string) ([]peer, error) {
	var known, revisions []string
	for _, p := range strings.Split(patterns, ",") {
		if strings.Contains(p, "@") || p == plainPeer {
			revisions = append(revisions, p)
		} else if p != "" {
			known = append(known, p)
		}
	}
	var names []string
	if len(known) > 0 || len(revisions) == 0 {
		var err error
		names, err = selectByName(allPeers(), func(s string) string { return s }, strings.Join(known, ","))
		if err != nil {
			return nil, fmt.Errorf("peers: %w", err)
		}
	}
	var peers []peer
	for _, n := range append(names, revisions...) {
		peers = append(peers, peer{name: n})
	}
	return peers, nil
}

// programs is where they are built.
const programs = "out/bin"

// build builds the programs of a peer.
func (p *peer) build(ctx context.Context) error {
	dir, rev, isRev := strings.Cut(p.name, "@")
	src := filepath.Join("peers", dir)
	if _, err := os.Stat(src); err != nil {
		return fmt.Errorf("no peer %s: %w", dir, err)
	}
	// Absolute, for the go command runs in src.
	bin, err := filepath.Abs(filepath.Join(programs, strings.ReplaceAll(p.name, "/", "_")))
	if err != nil {
		return err
	}
	if err := os.MkdirAll(bin, 0o755); err != nil {
		return err
	}
	args := []string{"build", "-trimpath"}
	if isRev {
		mod, err := revisionModule(ctx, bin, src, rev)
		if err != nil {
			return fmt.Errorf("peer %s: %w", p.name, err)
		}
		args = append(args, "-modfile="+mod, "-mod=mod")
	}
	p.load, p.tiny = filepath.Join(bin, "load"+exeSuffix()), filepath.Join(bin, "tiny"+exeSuffix())
	if err := goCommand(ctx, src, append(args, "-o", p.load, ".")...); err != nil {
		return fmt.Errorf("build peer %s: %w", p.name, err)
	}
	if err := goCommand(ctx, src, append(args, "-ldflags=-s -w", "-o", p.tiny, "./tiny")...); err != nil {
		return fmt.Errorf("build tiny server of peer %s: %w", p.name, err)
	}
	return nil
}

// revisionModule checks a revision of the library out below dir and returns a
// copy of the peer's go.mod that takes the library from there.
func revisionModule(ctx context.Context, dir, src, rev string) (string, error) {
	tree := filepath.Join(dir, "tree")
	if err := os.RemoveAll(tree); err != nil {
		return "", err
	}
	if err := os.MkdirAll(tree, 0o755); err != nil {
		return "", err
	}
	archive := exec.CommandContext(ctx, "git", "-C", "..", "archive", "--format=tar", "-o", filepath.Join(dir, "tree.tar"), rev)
	if out, err := archive.CombinedOutput(); err != nil {
		return "", fmt.Errorf("git archive %s: %w\n%s", rev, err, out)
	}
	unpack := exec.CommandContext(ctx, "tar", "-xf", filepath.Join(dir, "tree.tar"), "-C", tree)
	if out, err := unpack.CombinedOutput(); err != nil {
		return "", fmt.Errorf("unpack %s: %w\n%s", rev, err, out)
	}
	mod := filepath.Join(dir, "peer.mod")
	for from, to := range map[string]string{"go.mod": mod, "go.sum": filepath.Join(dir, "peer.sum")} {
		b, err := os.ReadFile(filepath.Join(src, from))
		if err != nil {
			return "", err
		}
		if err := os.WriteFile(to, b, 0o644); err != nil {
			return "", err
		}
	}
	return mod, goCommand(ctx, src, "mod", "edit", "-replace=github.com/containerd/ttrpc="+tree, mod)
}

func exeSuffix() string {
	if runtime.GOOS == "windows" {
		return ".exe"
	}
	return ""
}

func goCommand(ctx context.Context, dir string, args ...string) error {
	cmd := exec.CommandContext(ctx, "go", args...)
	if nice, err := exec.LookPath("nice"); err == nil {
		cmd = exec.CommandContext(ctx, nice, append([]string{"-n", "10", "go"}, args...)...)
	}
	cmd.Dir = dir
	// Static, as a daemon is shipped; and nothing of the caller's go.work.
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return nil
}
