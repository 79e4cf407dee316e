// Protogen generates the Go code that is checked in to this repository, with
// nothing but Go: the proto files are compiled by github.com/bufbuild/protocompile,
// and the plugins are built from the versions that go.mod files pin.
//
// With -check it writes nothing, and fails if a checked-in file is stale.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	check := flag.Bool("check", false, "compare with the files that are there, and write nothing")
	repository := flag.String("C", "../..", "`directory` of the repository")
	flag.Parse()
	if flag.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "protogen: unexpected argument %q\n", flag.Arg(0))
		os.Exit(2)
	}
	if err := run(*repository, *check); err != nil {
		fmt.Fprintf(os.Stderr, "protogen: %v\n", err)
		os.Exit(1)
	}
}

func run(repository string, check bool) error {
	if err := os.Chdir(repository); err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join("cmd", "protoc-gen-go-ttrpc")); err != nil {
		return fmt.Errorf("not the repository: %w", err)
	}
	list, err := jobs()
	if err != nil {
		return err
	}
	generated, err := generate(list)
	if err != nil {
		return err
	}
	if check {
		return compare(generated)
	}
	return write(generated)
}
