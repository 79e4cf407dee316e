package main

import (
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// version is set by a release's build: -ldflags "-X main.version=v1.2.3".
var version string

func newRootCmd() *cobra.Command {
	root := &cobra.Command{
		Use:   "ttrpc",
		Short: "Call, inspect and watch ttrpc servers",
		Long: `Ttrpc calls and inspects ttrpc servers, and watches what passes between programs
that speak ttrpc.

An ADDRESS is one of

  /run/s.sock, unix:///run/s.sock    a unix socket
  @name, unix://@name                an abstract unix socket, on Linux
  vsock://3:1024                     a vsock port of a virtual machine, on Linux
  hvsock:///run/vm.sock:1024         the same through the socket of a hypervisor
                                     (Firecracker, Cloud Hypervisor), as in containerd
  tcp://localhost:7000               a TCP port
  npipe:////./pipe/name, \\.\pipe\name
                                     a named pipe, on Windows

The exit status is 0, or 1 when a call or anything else fails, 2 for a mistake in the
command line, and 3 when the peer cannot be reached. Options may be written with one
dash or two.`,
		Version:       versionText(),
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.NoArgs,
		RunE: verb(func(cmd *cobra.Command, _ []string) error {
			return usageErrorf("a command is needed")
		}),
	}
	root.SetVersionTemplate("ttrpc {{.Version}}\n")
	root.AddCommand(newCallCmd(), newListCmd(), newDescribeCmd(), newTraceCmd(), newPingCmd(), newLoadCmd(), newManCmd(root))
	return root
}

func versionText() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}

// doubleDashes returns args with two dashes before the long names of options that have
// one, as in Go's own tools: -timeout is --timeout, not a group of short options.
func doubleDashes(root *cobra.Command, args []string) []string {
	long := map[string]bool{"help": true, "version": true}
	for _, cmd := range append(root.Commands(), root) {
		cmd.Flags().VisitAll(func(f *pflag.Flag) { long[f.Name] = true })
	}
	out := make([]string, 0, len(args))
	for i, arg := range args {
		if arg == "--" {
			return append(out, args[i:]...)
		}
		name, _, _ := strings.Cut(strings.TrimPrefix(arg, "-"), "=")
		if strings.HasPrefix(arg, "-") && len(name) > 1 && long[name] {
			arg = "-" + arg
		}
		out = append(out, arg)
	}
	return out
}
