package schema

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/bufbuild/protocompile"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
)

// files are the types of proto files and of sets of descriptors.
type files struct{ registry *protoregistry.Files }

func (f files) find(_ context.Context, name protoreflect.FullName) (protoreflect.Descriptor, error) {
	return f.registry.FindDescriptorByName(name)
}

func (f files) services(context.Context) ([]string, error) { return servicesOf(f.registry), nil }

func servicesOf(registry *protoregistry.Files) (names []string) {
	registry.RangeFiles(func(fd protoreflect.FileDescriptor) bool {
		for i := range fd.Services().Len() {
			names = append(names, string(fd.Services().Get(i).FullName()))
		}
		return true
	})
	return names
}

// readFiles reads the files that the options name.
func (f *Flags) readFiles(ctx context.Context) (files, error) {
	local := files{&protoregistry.Files{}}
	if len(f.protos) > 0 {
		if err := f.compile(ctx, local.registry); err != nil {
			return files{}, err
		}
	}
	for _, name := range f.protosets {
		if err := readSet(name, local.registry); err != nil {
			return files{}, fmt.Errorf("-protoset %s: %w", name, err)
		}
	}
	return local, nil
}

// compile adds the proto files and their imports. Imports that no directory has may be
// built-in files.
func (f *Flags) compile(ctx context.Context, into *protoregistry.Files) error {
	dirs := f.imports
	if len(dirs) == 0 {
		dirs = []string{"."}
	}
	var names []string
	for _, name := range f.protos {
		dir, rel := locate(name, dirs)
		if dir != "" {
			dirs = append(dirs, dir)
		}
		names = append(names, rel)
	}
	builtIn := protocompile.ResolverFunc(func(path string) (protocompile.SearchResult, error) {
		fd, err := protoregistry.GlobalFiles.FindFileByPath(path)
		return protocompile.SearchResult{Desc: fd}, err
	})
	compiler := protocompile.Compiler{
		SourceInfoMode: protocompile.SourceInfoStandard,
		Resolver: protocompile.WithStandardImports(protocompile.CompositeResolver{
			&protocompile.SourceResolver{ImportPaths: dirs}, builtIn,
		}),
	}
	compiled, err := compiler.Compile(ctx, names...)
	if err != nil {
		return fmt.Errorf("-proto: %w", err)
	}
	for _, fd := range compiled {
		if err := register(fd, into); err != nil {
			return fmt.Errorf("-proto: %w", err)
		}
	}
	return nil
}

// locate returns the name of a proto file below one of the directories. If it is below
// none, it returns the directory that the file is in, for the search.
func locate(name string, dirs []string) (dir, rel string) {
	for _, d := range dirs {
		if _, err := os.Stat(filepath.Join(d, name)); err == nil && !filepath.IsAbs(name) {
			return "", filepath.ToSlash(name)
		}
	}
	for _, d := range dirs {
		absDir, errDir := filepath.Abs(d)
		absName, errName := filepath.Abs(name)
		if errDir != nil || errName != nil {
			continue
		}
		if rel, err := filepath.Rel(absDir, absName); err == nil && !strings.HasPrefix(rel, "..") {
			return "", filepath.ToSlash(rel)
		}
	}
	return filepath.Dir(name), filepath.Base(name)
}

// readSet adds the files of a set of descriptors.
func readSet(name string, into *protoregistry.Files) error {
	b, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	set := &descriptorpb.FileDescriptorSet{}
	if err := proto.Unmarshal(b, set); err != nil {
		return err
	}
	found, err := protodesc.FileOptions{AllowUnresolvable: true}.NewFiles(set)
	if err != nil {
		return err
	}
	found.RangeFiles(func(fd protoreflect.FileDescriptor) bool {
		err = register(fd, into)
		return err == nil
	})
	return err
}

// register adds a file and its imports, unless into has them.
func register(fd protoreflect.FileDescriptor, into *protoregistry.Files) error {
	if _, err := into.FindFileByPath(fd.Path()); err == nil || fd.IsPlaceholder() {
		return nil
	}
	for i := range fd.Imports().Len() {
		if err := register(fd.Imports().Get(i).FileDescriptor, into); err != nil {
			return err
		}
	}
	return into.RegisterFile(fd)
}
