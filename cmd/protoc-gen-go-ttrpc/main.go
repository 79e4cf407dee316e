// Protoc-gen-go-ttrpc is a plugin of the protobuf compiler. It generates Go code for the
// ttrpc services of a proto file, beside the messages that protoc-gen-go generates.
package main

import "github.com/containerd/ttrpc/internal/gencmd"

func command() *gencmd.Command {
	return &gencmd.Command{
		Name: "protoc-gen-go-ttrpc",
		Usage: `  protoc --go_out=. --go-ttrpc_out=. service.proto

Options, given as --go-ttrpc_opt=NAME=VALUE or in front of the output directory:

  prefix=TEXT               put TEXT before the Go name of each service
  client=interface          clients take a ttrpc.Caller, not a *ttrpc.Client
  paths=import              name files after their Go import path (the default)
  paths=source_relative     name files after their proto file
  module=PATH               take PATH off the names of the files
  Mfile.proto=PATH          the Go import path of file.proto
`,
		Generate: generate,
	}
}

func main() { command().Main() }
