package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"runtime"
	"sort"
	"strconv"
	"strings"

	"github.com/containerd/ttrpc/tools/protogen/compile"
)

// generate runs all jobs and returns the contents of the files by their names,
// which are relative to the repository.
func generate(jobs []job) (map[string]string, error) {
	bin, err := os.MkdirTemp("", "protogen")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(bin)
	plugins, err := build(bin, jobs)
	if err != nil {
		return nil, err
	}
	generated := make(map[string]string)
	for _, j := range jobs {
		req, err := compile.Request(j.Roots, j.Files, j.Parameter)
		if err != nil {
			return nil, err
		}
		resp, err := compile.Run(plugins[plugin{j.Module, j.Plugin}], req)
		if err != nil {
			return nil, fmt.Errorf("%s for %s: %w", path.Base(j.Plugin), strings.Join(j.Files, ", "), err)
		}
		for _, f := range resp.File {
			name := path.Join(filepath.ToSlash(j.Out), f.GetName())
			if _, twice := generated[name]; twice {
				return nil, fmt.Errorf("%s is generated twice", name)
			}
			generated[name] = f.GetContent()
		}
	}
	return generated, nil
}

// plugin identifies a program: the same plugin may be needed in the versions
// of several modules.
type plugin struct {
	Module, Plugin string
}

// build builds the plugins of the jobs below dir and returns their programs.
func build(dir string, jobs []job) (map[plugin]string, error) {
	programs := make(map[plugin]string)
	for _, j := range jobs {
		p := plugin{j.Module, j.Plugin}
		if programs[p] != "" {
			continue
		}
		program := filepath.Join(dir, strconv.Itoa(len(programs)), path.Base(j.Plugin))
		if runtime.GOOS == "windows" {
			program += ".exe"
		}
		programs[p] = program
		cmd := exec.Command("go", "build", "-o", program, j.Plugin)
		cmd.Dir = filepath.FromSlash(path.Join(".", j.Module))
		cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
		if err := cmd.Run(); err != nil {
			return nil, fmt.Errorf("building %s in %s: %w", j.Plugin, cmd.Dir, err)
		}
	}
	return programs, nil
}

// write writes the files that differ from those on disk.
func write(generated map[string]string) error {
	for _, name := range names(generated) {
		old, err := os.ReadFile(name)
		if err == nil && string(old) == generated[name] {
			continue
		}
		if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
			return err
		}
		if err := os.WriteFile(name, []byte(generated[name]), 0o666); err != nil {
			return err
		}
		fmt.Println("wrote", name)
	}
	return nil
}

// compare fails unless the files that are there are the generated ones.
func compare(generated map[string]string) error {
	var stale []string
	for _, name := range names(generated) {
		old, err := os.ReadFile(name)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			stale = append(stale, name+" is missing")
		case err != nil:
			return err
		case string(old) != generated[name]:
			stale = append(stale, name+" is stale")
		}
	}
	orphans, err := orphans(generated)
	if err != nil {
		return err
	}
	stale = append(stale, orphans...)
	if len(stale) > 0 {
		return fmt.Errorf("run `make generate`:\n\t%s", strings.Join(stale, "\n\t"))
	}
	fmt.Printf("%d generated files are up to date\n", len(generated))
	return nil
}

// orphans finds the files of the root module that look generated although no
// job generates them. Nested modules look after their own.
func orphans(generated map[string]string) ([]string, error) {
	var list []string
	err := filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if name != "." && (strings.HasPrefix(d.Name(), ".") || isModule(name)) {
				return filepath.SkipDir
			}
			return nil
		}
		name = filepath.ToSlash(name)
		if _, ok := generated[name]; !ok && strings.HasSuffix(name, ".pb.go") {
			list = append(list, name+" is generated from nothing")
		}
		return nil
	})
	return list, err
}

func isModule(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, "go.mod"))
	return err == nil
}

func names(generated map[string]string) []string {
	list := make([]string, 0, len(generated))
	for name := range generated {
		list = append(list, name)
	}
	sort.Strings(list)
	return list
}
