// Package gencmd implements the common part of the two generators' commands: arguments,
// input and errors.
package gencmd

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
)

// Command is a plugin of the protobuf compiler: it reads a
// CodeGeneratorRequest and writes a CodeGeneratorResponse.
type Command struct {
	Name string
	// Usage is the text of -help after the first line.
	Usage string
	// Generate turns an encoded request into an encoded response. It calls warn with
	// warnings, of one line each.
	Generate func(request []byte, warn func(format string, args ...any)) (response []byte, err error)
}

// Main runs the command with the arguments and files of the process, and ends the process.
func (c *Command) Main() {
	os.Exit(c.Run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// Run runs the command and returns its exit code: 0, 1 if the generation failed, or 2 for
// wrong arguments. An error is one message on stderr, which the compilers show, and there is
// no response.
func (c *Command) Run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	if len(args) > 0 {
		switch args[0] {
		case "-version", "--version":
			fmt.Fprintln(stdout, c.Name, Version("github.com/containerd/ttrpc"))
			return 0
		case "-h", "-help", "--help":
			fmt.Fprintf(stdout, "%s is a plugin of the protobuf compiler; protoc, buf and protobuild run it.\n\n%s", c.Name, c.Usage)
			return 0
		}
		fmt.Fprintf(stderr, "%s: unknown argument %q; see %s -help\n", c.Name, args[0], c.Name)
		return 2
	}
	request, err := io.ReadAll(stdin)
	if err == nil && len(request) == 0 {
		err = errors.New("no request on standard input; the protobuf compiler runs this program")
	}
	var response []byte
	if err == nil {
		response, err = c.generate(request, func(format string, args ...any) {
			fmt.Fprintf(stderr, "%s: warning: %s\n", c.Name, fmt.Sprintf(format, args...))
		})
	}
	if err == nil {
		_, err = stdout.Write(response)
	}
	if err != nil {
		fmt.Fprintf(stderr, "%s: %v\n", c.Name, err)
		return 1
	}
	return 0
}

// generate calls Generate and turns panics into errors: gogo's plugins panic on unsupported
// input, and the protobuf libraries on descriptors that no compiler would produce.
func (c *Command) generate(request []byte, warn func(string, ...any)) (response []byte, err error) {
	defer func() {
		switch r := recover().(type) {
		case nil:
		case runtime.Error:
			err = fmt.Errorf("malformed request: %w", r)
		default:
			err = fmt.Errorf("%v", r)
		}
	}()
	return c.Generate(request, warn)
}

// Version returns the version of a module that the program was built with: the main module
// or a dependency.
func Version(module string) string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "(unknown)"
	}
	for _, m := range append(info.Deps, &info.Main) {
		if m.Path != module {
			continue
		}
		if m.Replace != nil {
			return fmt.Sprintf("%s => %s %s", m.Version, m.Replace.Path, m.Replace.Version)
		}
		return m.Version
	}
	return "(unknown)"
}
