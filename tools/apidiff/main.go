// Apidiff compares the exported API of this module with that of the releases
// in releases/, and fails when something that a release has is gone or changed
// other than allowed.txt says.
package main

import (
	"bufio"
	"flag"
	"fmt"
	"go/types"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"golang.org/x/exp/apidiff"
	"golang.org/x/tools/go/packages"
)

// paths are the packages that releases have for others to import. Not every
// release has each.
var paths = []string{
	"github.com/containerd/ttrpc",
	"github.com/containerd/ttrpc/plugin",
}

// oses are the systems whose API is compared.
var oses = []string{"linux", "windows"}

func main() {
	verbose := flag.Bool("v", false, "print what was added, too")
	flag.Usage = func() {
		fmt.Fprintf(os.Stderr, "usage: go run . [-v]\n\nCompares the API of the module in ../.. with that of the releases.\n")
		flag.PrintDefaults()
	}
	flag.Parse()
	if flag.NArg() > 0 {
		flag.Usage()
		os.Exit(2)
	}
	ok, err := run(*verbose)
	if err != nil {
		fmt.Fprintln(os.Stderr, "apidiff:", err)
		os.Exit(1)
	}
	if !ok {
		os.Exit(1)
	}
}

func run(verbose bool) (ok bool, err error) {
	allowed, err := readAllowed("allowed.txt")
	if err != nil {
		return false, err
	}
	mods, err := filepath.Glob("releases/*.mod")
	if err != nil || len(mods) == 0 {
		return false, fmt.Errorf("no releases to compare with: run this in its directory (%v)", err)
	}
	sort.Strings(mods)
	ok = true
	for _, goos := range oses {
		ours, err := load("../..", goos)
		if err != nil {
			return false, err
		}
		for _, mod := range mods {
			version := strings.TrimSuffix(filepath.Base(mod), ".mod")
			theirs, err := load(".", goos, "-modfile="+mod)
			if err != nil {
				return false, fmt.Errorf("%s: %w", version, err)
			}
			good, err := compare(goos+" "+version, version, theirs, ours, allowed, verbose)
			if err != nil {
				return false, err
			}
			ok = ok && good
		}
	}
	for _, a := range allowed {
		if !a.used {
			fmt.Printf("FAIL allowed.txt line %d is no difference any more: %s\n", a.line, a.message)
			ok = false
		}
	}
	return ok, nil
}

// load returns the packages of paths that the module in dir has or requires.
func load(dir, goos string, flags ...string) (map[string]*types.Package, error) {
	cfg := &packages.Config{
		Mode:       packages.LoadTypes,
		Dir:        dir,
		BuildFlags: flags,
		Env:        append(os.Environ(), "GOOS="+goos, "GOARCH=amd64", "CGO_ENABLED=0", "GOWORK=off", "GOFLAGS=-mod=readonly"),
	}
	pkgs, err := packages.Load(cfg, paths...)
	if err != nil {
		return nil, err
	}
	found := make(map[string]*types.Package)
	for _, p := range pkgs {
		if len(p.Errors) > 0 && strings.Contains(p.Errors[0].Msg, "cannot find module providing package") {
			continue
		}
		if len(p.Errors) > 0 {
			return nil, p.Errors[0]
		}
		found[p.PkgPath] = p.Types
	}
	if found[paths[0]] == nil {
		return nil, fmt.Errorf("no package %s in %s", paths[0], dir)
	}
	return found, nil
}

func compare(title, version string, theirs, ours map[string]*types.Package, allowed []*exception, verbose bool) (bool, error) {
	ok, permitted, added := true, 0, 0
	var compared []string
	for _, path := range paths {
		old := theirs[path]
		if old == nil {
			continue
		}
		compared = append(compared, path)
		if ours[path] == nil {
			fmt.Printf("FAIL %s: package %s is gone\n", title, path)
			ok = false
			continue
		}
		for _, change := range apidiff.Changes(old, ours[path]).Changes {
			switch {
			case change.Compatible:
				added++
				if verbose {
					fmt.Printf("     %s: %s: %s\n", title, path, change.Message)
				}
			case permit(allowed, version, path, change.Message):
				permitted++
				fmt.Printf("     %s: %s: allowed: %s\n", title, path, change.Message)
			default:
				fmt.Printf("FAIL %s: %s: %s\n", title, path, change.Message)
				ok = false
			}
		}
	}
	if ok {
		fmt.Printf("ok   %s: %s: %d additions, %d differences allowed\n", title, strings.Join(compared, ", "), added, permitted)
	}
	return ok, nil
}

// exception is a line of allowed.txt.
type exception struct {
	line                   int
	version, path, message string
	used                   bool
}

func permit(allowed []*exception, version, path, message string) bool {
	found := false
	for _, a := range allowed {
		match, err := filepath.Match(a.version, version)
		if err == nil && match && a.path == path && a.message == message {
			a.used, found = true, true
		}
	}
	return found
}

// readAllowed reads lines of: version pattern, package, message. A # begins a
// comment.
func readAllowed(name string) ([]*exception, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var allowed []*exception
	lines := bufio.NewScanner(f)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		fields := strings.SplitN(line, " ", 3)
		if len(fields) != 3 {
			return nil, fmt.Errorf("%s:%d: want version pattern, package and message: %s", name, n, line)
		}
		if _, err := filepath.Match(fields[0], ""); err != nil {
			return nil, fmt.Errorf("%s:%d: %v", name, n, err)
		}
		allowed = append(allowed, &exception{line: n, version: fields[0], path: fields[1], message: strings.TrimSpace(fields[2])})
	}
	return allowed, lines.Err()
}
