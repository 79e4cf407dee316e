package main

import (
	"strings"

	"google.golang.org/protobuf/compiler/protogen"
)

// declared returns the names that protoc-gen-go declares in the Go package of a file, as
// far as the file and its imports show them.
func declared(plugin *protogen.Plugin, file *protogen.File) []string {
	var n names
	for _, f := range samePackage(plugin, file) {
		n.file(f)
		// protoc-gen-go declares the names of publicly imported files again.
		for _, i := range f.Proto.PublicDependency {
			if dep := plugin.FilesByPath[f.Proto.Dependency[i]]; dep != nil {
				n.file(dep)
			}
		}
	}
	return n
}

// names are the Go names of files that may collide with names of stubs.
type names []string

func (n *names) add(list ...string) { *n = append(*n, list...) }

func (n *names) file(f *protogen.File) {
	n.add(f.GoDescriptorIdent.GoName)
	n.enums(f.Enums)
	n.extensions(f.Extensions)
	n.messages(f.Messages)
}

func (n *names) enums(list []*protogen.Enum) {
	for _, e := range list {
		n.add(e.GoIdent.GoName, e.GoIdent.GoName+"_name", e.GoIdent.GoName+"_value")
		for _, v := range e.Values {
			n.add(v.GoIdent.GoName)
		}
	}
}

func (n *names) extensions(list []*protogen.Extension) {
	for _, x := range list {
		n.add("E_" + strings.TrimPrefix(x.GoIdent.GoName, "E_"))
	}
}

func (n *names) messages(list []*protogen.Message) {
	for _, m := range list {
		n.add(m.GoIdent.GoName)
		for _, f := range m.Fields {
			n.add(f.GoIdent.GoName) // the wrapper of a oneof's field
			if f.Desc.HasDefault() {
				n.add("Default_" + m.GoIdent.GoName + "_" + f.GoName)
			}
		}
		n.enums(m.Enums)
		n.extensions(m.Extensions)
		n.messages(m.Messages)
	}
}

// samePackage returns the file, and the files of the same Go package that it imports,
// directly or not. The request may have more files of the package, but the generated code
// must not depend on which files are compiled together.
func samePackage(plugin *protogen.Plugin, file *protogen.File) []*protogen.File {
	var files []*protogen.File
	seen := make(map[string]bool)
	var visit func(path string)
	visit = func(path string) {
		f := plugin.FilesByPath[path]
		if f == nil || seen[path] {
			return
		}
		seen[path] = true
		if f.GoImportPath == file.GoImportPath {
			files = append(files, f)
		}
		for _, dep := range f.Proto.Dependency {
			visit(dep)
		}
	}
	visit(file.Desc.Path())
	return files
}
