// Package compile stands in for protoc: it compiles proto files in Go, and runs a
// plugin on the result.
package compile

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/bufbuild/protocompile"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/pluginpb"

	// Imported by request.proto; there is no Go module with its source.
	_ "google.golang.org/genproto/googleapis/rpc/status"
)

// Root says where proto files are found: those whose import path begins with
// Prefix lie in Dir. The prefix is empty or ends in a slash.
type Root struct {
	Prefix, Dir string
}

// Request compiles proto files and returns the request to a plugin for them:
// the files, and before them everything they import, as protoc orders it.
func Request(roots []Root, files []string, parameter string) (*pluginpb.CodeGeneratorRequest, error) {
	compiler := protocompile.Compiler{
		Resolver: protocompile.CompositeResolver{
			protocompile.ResolverFunc(func(path string) (protocompile.SearchResult, error) { return find(roots, path) }),
			protocompile.WithStandardImports(protocompile.ResolverFunc(linked)),
		},
		SourceInfoMode: protocompile.SourceInfoStandard,
	}
	compiled, err := compiler.Compile(context.Background(), files...)
	if err != nil {
		return nil, err
	}
	req := &pluginpb.CodeGeneratorRequest{FileToGenerate: files}
	if parameter != "" {
		req.Parameter = proto.String(parameter)
	}
	seen := make(map[string]bool)
	var add func(protoreflect.FileDescriptor)
	add = func(fd protoreflect.FileDescriptor) {
		if seen[fd.Path()] {
			return
		}
		seen[fd.Path()] = true
		for i := 0; i < fd.Imports().Len(); i++ {
			add(fd.Imports().Get(i).FileDescriptor)
		}
		req.ProtoFile = append(req.ProtoFile, toProto(fd))
	}
	for _, fd := range compiled {
		add(fd)
	}
	return req, nil
}

// toProto prefers the descriptor as it was parsed, which has the comments.
func toProto(fd protoreflect.FileDescriptor) *descriptorpb.FileDescriptorProto {
	if parsed, ok := fd.(interface {
		FileDescriptorProto() *descriptorpb.FileDescriptorProto
	}); ok {
		return parsed.FileDescriptorProto()
	}
	return protodesc.ToFileDescriptorProto(fd)
}

// find looks a proto file up in the roots.
func find(roots []Root, path string) (protocompile.SearchResult, error) {
	for _, r := range roots {
		rest, ok := strings.CutPrefix(path, r.Prefix)
		if !ok {
			continue
		}
		f, err := os.Open(filepath.Join(r.Dir, filepath.FromSlash(rest)))
		if err == nil {
			return protocompile.SearchResult{Source: f}, nil
		}
		if !os.IsNotExist(err) {
			return protocompile.SearchResult{}, err
		}
	}
	return protocompile.SearchResult{}, fmt.Errorf("%s: %w", path, os.ErrNotExist)
}

// linked finds the proto files whose Go code is part of this program.
func linked(path string) (protocompile.SearchResult, error) {
	fd, err := protoregistry.GlobalFiles.FindFileByPath(path)
	if err != nil {
		return protocompile.SearchResult{}, err
	}
	return protocompile.SearchResult{Desc: fd}, nil
}

// Run asks a plugin for the files that the request names. Its warnings go to stderr.
func Run(program string, req *pluginpb.CodeGeneratorRequest) (*pluginpb.CodeGeneratorResponse, error) {
	in, err := proto.Marshal(req)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	cmd := exec.Command(program)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(in), &out, os.Stderr
	if err := cmd.Run(); err != nil {
		return nil, err
	}
	resp := new(pluginpb.CodeGeneratorResponse)
	if err := proto.Unmarshal(out.Bytes(), resp); err != nil {
		return nil, err
	}
	if resp.Error != nil {
		return nil, errors.New(resp.GetError())
	}
	return resp, nil
}
