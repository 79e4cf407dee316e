// Package schema knows the types of methods and messages: from proto files, from sets of
// descriptors, from the server's reflection, and from a set that is built in. The sources
// are asked in that order, and the first that knows a name answers.
package schema

import (
	"context"

	"github.com/containerd/ttrpc"
	"github.com/spf13/pflag"
)

// Flags are the options that say where types come from.
type Flags struct {
	protos    []string
	imports   []string
	protosets []string
}

// Add adds the options to a verb's.
func (f *Flags) Add(fs *pflag.FlagSet) {
	fs.StringArrayVar(&f.protos, "proto", nil, "take types from a proto `FILE`")
	fs.StringArrayVarP(&f.imports, "import-path", "I", nil, "look for proto files and their imports in `DIR` (default: the working directory)")
	fs.StringArrayVar(&f.protosets, "protoset", nil, "take types from a `FILE` with descriptors, as of protoc --descriptor_set_out --include_imports")
}

// Given reports whether an option names a file with types.
func (f *Flags) Given() bool { return len(f.protos)+len(f.protosets) > 0 }

// Open prepares the sources. With a client they have its server's reflection, too, which is
// asked when a name is needed that no file has. Open fails for files that it cannot use.
func (f *Flags) Open(ctx context.Context, client ttrpc.Caller) (*Source, error) {
	s := &Source{}
	if f.Given() {
		local, err := f.readFiles(ctx)
		if err != nil {
			return nil, err
		}
		s.origins = append(s.origins, local)
	}
	if client != nil {
		s.reflected = newReflected(client)
		s.origins = append(s.origins, s.reflected)
	}
	s.origins = append(s.origins, builtin{})
	return s, nil
}
