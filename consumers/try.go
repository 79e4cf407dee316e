package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

const ttrpc = "github.com/containerd/ttrpc"

type options struct {
	control bool
	only    []string // names of steps; none means all
	root    string   // of this checkout
	scratch string
}

// try runs everything for one consumer. A failed step does not end it; a failed
// preparation does.
func (o options) try(ctx context.Context, c consumer) []row {
	label := c.name + " " + c.version
	fmt.Printf("\n%s\n", label)
	start := time.Now()
	dir, used, changes, err := o.prepare(ctx, c)
	rows := []row{{step: "go.mod", ok: err == nil, note: changes}}
	if err != nil {
		fmt.Println(err)
	}
	rows[0].took = time.Since(start)
	if dir != "" {
		for _, s := range c.steps {
			if len(o.only) > 0 && !slices.Contains(o.only, s.name) {
				continue
			}
			fmt.Printf("  %s\n", s.name)
			start := time.Now()
			note, err := o.run(ctx, c, s, dir)
			if err != nil {
				fmt.Println(err)
			}
			rows = append(rows, row{step: s.name, ok: err == nil, note: note, took: time.Since(start)})
		}
	}
	for i := range rows {
		rows[i].consumer, rows[i].ttrpc = label, used
	}
	return rows
}

// prepare copies the consumer and tidies it with the replace line. dir is "" when
// there is nothing to go on with.
func (o options) prepare(ctx context.Context, c consumer) (dir, used, changes string, err error) {
	copied := filepath.Join(o.scratch, c.name)
	if err := fetch(ctx, c, copied); err != nil {
		return "", "", "", err
	}
	version, err := goCommand(ctx, copied, nil, "list", "-mod=mod", "-m", "-f", "{{.Version}}", ttrpc)
	if err != nil {
		return "", "", "", err
	}
	version = strings.TrimSpace(version)
	before, err := moduleLines(copied, "go.mod")
	if err != nil {
		return "", "", "", err
	}
	sumBefore, err := moduleLines(copied, "go.sum")
	if err != nil {
		return "", "", "", err
	}
	used, want := "released "+version, []string(nil)
	if !o.control {
		used = "ours for " + version
		want = append([]string{"+ replace " + ttrpc + " " + version + " => " + o.root}, c.changes...)
		if _, err := goCommand(ctx, copied, nil, "mod", "edit", "-replace="+ttrpc+"@"+version+"="+o.root); err != nil {
			return "", used, "", err
		}
	}
	if _, err := goCommand(ctx, copied, nil, "mod", "tidy"); err != nil {
		return "", used, "", err
	}
	after, err := moduleLines(copied, "go.mod")
	if err != nil {
		return "", used, "", err
	}
	sumAfter, err := moduleLines(copied, "go.sum")
	if err != nil {
		return "", used, "", err
	}
	got := changed(before, after)
	for _, line := range got {
		fmt.Println("  go.mod", line)
	}
	changes = fmt.Sprintf("%d lines changed, go.sum %d", len(got), len(changed(sumBefore, sumAfter)))
	if odd := unexpected(got, want); len(odd) > 0 {
		return copied, used, changes, fmt.Errorf("  go.mod changes otherwise than expected:\n    %s", strings.Join(odd, "\n    "))
	}
	return copied, used, changes, nil
}

// fetch copies the consumer's module from the module cache to dir. A vendor
// directory, of which modules hold only the list, stays behind.
func fetch(ctx context.Context, c consumer, dir string) error {
	out, err := goCommand(ctx, "", []string{"GOWORK=off"}, "mod", "download", "-json", c.module+"@"+c.version)
	if err != nil {
		return err
	}
	var module struct{ Dir string }
	if err := json.Unmarshal([]byte(out), &module); err != nil {
		return err
	}
	if err := os.CopyFS(dir, os.DirFS(module.Dir)); err != nil {
		return err
	}
	// The module cache is read-only, and so is its copy.
	err = filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		return os.Chmod(path, info.Mode().Perm()|0o200)
	})
	return errors.Join(err, os.RemoveAll(filepath.Join(dir, "vendor")))
}

// run runs one step. The error has the step's output.
func (o options) run(ctx context.Context, c consumer, s step, dir string) (note string, err error) {
	args := slices.Insert(slices.Clone(s.args), 1, "-tags="+c.tags)
	if s.users {
		users, err := usersOf(ctx, c, dir)
		if err != nil {
			return "", err
		}
		args = append(args, users...)
		note = fmt.Sprintf("%d packages, ", len(users))
	}
	out, err := goCommand(ctx, dir, s.env, args...)
	if !slices.Contains(args, "-json") {
		return "", err
	}
	t := parseTests([]byte(out))
	if err != nil && len(t.failed) == 0 {
		return note, err
	}
	note += fmt.Sprintf("%d tests passed, %d failed", t.passed, len(t.failed))
	if len(t.failed) > 0 {
		return note, fmt.Errorf("%s\n  failed: %s", t.output, strings.Join(t.failed, "\n  failed: "))
	}
	return note, nil
}

// usersOf lists the packages in dir that have tests and use ttrpc, except integration
// tests, which want a running containerd.
func usersOf(ctx context.Context, c consumer, dir string) ([]string, error) {
	out, err := goCommand(ctx, dir, nil, "list", "-tags="+c.tags, "-f",
		`{{if or .TestGoFiles .XTestGoFiles}}{{.ImportPath}} {{join .Deps " "}}{{end}}`, "./...")
	if err != nil {
		return nil, err
	}
	var users []string
	for _, line := range strings.Split(out, "\n") {
		words := strings.Fields(line)
		if len(words) > 0 && slices.Contains(words[1:], ttrpc) && !strings.Contains(words[0], "/integration") {
			users = append(users, words[0])
		}
	}
	if len(users) == 0 {
		return nil, errors.New("no package with tests uses " + ttrpc)
	}
	return users, nil
}

// goCommand runs go and returns its standard output. The error carries the rest.
func goCommand(ctx context.Context, dir string, env []string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = dir
	cmd.Env = append(append(os.Environ(), "GOWORK=off"), env...)
	cmd.WaitDelay = time.Second
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("go %s: %w\n%s", args[0], err, bytes.TrimSpace(stderr.Bytes()))
	}
	return string(out), err
}
