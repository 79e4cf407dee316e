// Package schema knows the types of methods and messages: from proto files, from sets of
// descriptors, from the server's reflection, and from a set that is built in.
package schema

import (
	"context"

	"github.com/containerd/ttrpc"
	"github.com/spf13/pflag"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// Flags are the options that say where types come from.
type Flags struct {
	protos    []string
	imports   []string
	protosets []string
}

// Add adds the options to a verb's.
func (f *Flags) Add(fs *pflag.FlagSet) {
	fs.StringArrayVar(&f.protos, "proto", nil, "take types from a proto `FILE`, by its name below a directory of -I")
	fs.StringArrayVarP(&f.imports, "import-path", "I", nil, "look for proto files in `DIR` (default: the working directory)")
	fs.StringArrayVar(&f.protosets, "protoset", nil, "take types from a `FILE` with descriptors, as of protoc --descriptor_set_out --include_imports")
}

// Source finds types.
type Source struct{}

// Open prepares the sources. With a client it asks the server's reflection, too. It fails
// for files that it cannot use.
func (f *Flags) Open(ctx context.Context, client ttrpc.Caller) (*Source, error) {
	return &Source{}, nil
}

// Method returns the descriptor of a method. The error of an unknown name has the nearest
// ones.
func (s *Source) Method(ctx context.Context, service, method string) (protoreflect.MethodDescriptor, error) {
	return nil, nil
}
