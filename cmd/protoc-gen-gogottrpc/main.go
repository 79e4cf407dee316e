// Protoc-gen-gogottrpc is a plugin of the protobuf compiler. It generates Go code for the
// messages of a proto file, for github.com/gogo/protobuf, and for its ttrpc services, in the
// same Go file.
package main

import (
	"github.com/containerd/ttrpc/internal/gencmd"
	_ "github.com/containerd/ttrpc/plugin"
)

func command() *gencmd.Command {
	return &gencmd.Command{
		Name: "protoc-gen-gogottrpc",
		Usage: `  protoc --gogottrpc_out=plugins=ttrpc:. service.proto

Options, comma-separated in front of the output directory:

  plugins=ttrpc             generate the services; without it only messages
  client=interface          clients take a ttrpc.Caller, not a *ttrpc.Client
  paths=import              name files after their Go import path (the default)
  paths=source_relative     name files after their proto file
  import_path=PATH          the Go import path of files without go_package
  Mfile.proto=PATH          the Go import path of file.proto
`,
		Generate: generate,
	}
}

func main() { command().Main() }
