package main

import (
	"path"
	"strings"

	"github.com/gogo/protobuf/gogoproto"
	"github.com/gogo/protobuf/protoc-gen-gogo/descriptor"
	plugin "github.com/gogo/protobuf/protoc-gen-gogo/plugin"
)

// checkImports warns of each imported file that has a type for a requested file and whose Go
// package is known not to be gogo's. If a field has such a type, the generated code does not
// compile: the type lacks the methods Size and MarshalTo.
func checkImports(req *plugin.CodeGeneratorRequest, files []*descriptor.FileDescriptorProto, warn func(string, ...any)) {
	declaredIn := make(map[string]*descriptor.FileDescriptorProto)
	for _, f := range req.ProtoFile {
		for _, name := range typeNames(f) {
			declaredIn[name] = f
		}
	}
	mapped := mappedPackages(req.GetParameter())
	for _, f := range files {
		warned := make(map[string]bool)
		for _, name := range usedTypes(f) {
			in := declaredIn[name]
			if in == nil || warned[in.GetName()] {
				continue
			}
			goPackage, ok := mapped[in.GetName()]
			if !ok {
				goPackage = in.GetOptions().GetGoPackage()
			}
			if foreign(in.GetName(), goPackage) {
				warned[in.GetName()] = true
				warn("%s: %s is of the Go package %q, which is not gogo's; the option M%s=%s changes that",
					f.GetName(), name[1:], goPackage, in.GetName(), gogoPackage(in.GetName()))
			}
		}
	}
}

// mappedPackages returns the Go packages of files from M options, by the name of the file.
func mappedPackages(parameter string) map[string]string {
	packages := make(map[string]string)
	for _, option := range strings.Split(parameter, ",") {
		if name, value, ok := strings.Cut(option, "="); ok && strings.HasPrefix(name, "M") {
			packages[name[1:]] = value
		}
	}
	return packages
}

// foreign reports whether another generator than gogo's is known to have generated a Go
// package. In the proto files that come with gogo, the well-known types have no usable
// package.
func foreign(file, goPackage string) bool {
	return strings.HasPrefix(goPackage, "google.golang.org/") ||
		strings.HasPrefix(goPackage, "github.com/golang/protobuf/") ||
		strings.HasPrefix(file, "google/protobuf/") && !strings.Contains(goPackage, "/")
}

// gogoPackage returns the Go package that gogo has for a file.
func gogoPackage(file string) string {
	dir, base := path.Split(file)
	switch {
	case file == "google/protobuf/descriptor.proto":
		return "github.com/gogo/protobuf/protoc-gen-gogo/descriptor"
	case dir == "google/protobuf/":
		return "github.com/gogo/protobuf/types"
	case dir == "google/rpc/" && (base == "code.proto" || base == "status.proto" || base == "error_details.proto"):
		return "github.com/gogo/googleapis/google/rpc"
	}
	return "PATH"
}

// typeNames returns the full names, with a dot in front, of all messages and enums
// of a file.
func typeNames(f *descriptor.FileDescriptorProto) []string {
	var names []string
	scope := "."
	if f.GetPackage() != "" {
		scope += f.GetPackage() + "."
	}
	for _, e := range f.EnumType {
		names = append(names, scope+e.GetName())
	}
	eachMessage(scope, f.MessageType, func(name string, m *descriptor.DescriptorProto) {
		names = append(names, name)
		for _, e := range m.EnumType {
			names = append(names, name+"."+e.GetName())
		}
	})
	return names
}

// usedTypes returns the full names of the types that the Go code of a file uses.
func usedTypes(f *descriptor.FileDescriptorProto) []string {
	var names []string
	fields := func(list []*descriptor.FieldDescriptorProto) {
		for _, field := range list {
			names = append(names, field.GetExtendee())
			// An option may replace the type by time.Time or a type of the program.
			if !gogoproto.IsStdType(field) && !gogoproto.IsCustomType(field) {
				names = append(names, field.GetTypeName())
			}
		}
	}
	fields(f.Extension)
	eachMessage("", f.MessageType, func(_ string, m *descriptor.DescriptorProto) {
		fields(m.Field)
		fields(m.Extension)
	})
	for _, s := range f.Service {
		for _, m := range s.Method {
			names = append(names, m.GetInputType(), m.GetOutputType())
		}
	}
	return names
}

// eachMessage calls visit with each of the messages and those nested in them.
func eachMessage(scope string, list []*descriptor.DescriptorProto, visit func(name string, m *descriptor.DescriptorProto)) {
	for _, m := range list {
		visit(scope+m.GetName(), m)
		eachMessage(scope+m.GetName()+".", m.NestedType, visit)
	}
}
