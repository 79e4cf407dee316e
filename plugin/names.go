package plugin

import (
	"github.com/gogo/protobuf/gogoproto"
	"github.com/gogo/protobuf/protoc-gen-gogo/descriptor"
	"github.com/gogo/protobuf/protoc-gen-gogo/generator"
)

// declared returns the names that gogo declares in the Go package of a file, as far as the
// file and its imports show them.
func (p *ttrpcGenerator) declared(file *generator.FileDescriptor) []string {
	importPath := p.importPath(file)
	files := make(map[string]*descriptor.FileDescriptorProto)
	for _, f := range p.Request.ProtoFile {
		files[f.GetName()] = f
	}
	var names []string
	seen := make(map[string]bool)
	var visit func(path string)
	visit = func(path string) {
		f := files[path]
		if f == nil || seen[path] {
			return
		}
		seen[path] = true
		if first := firstType(f); path == file.GetName() || first != "" && p.ObjectNamed(first).GoImportPath() == importPath {
			names = append(names, fileNames(f)...)
			// gogo declares the names of publicly imported files again.
			for _, i := range f.PublicDependency {
				names = append(names, fileNames(files[f.Dependency[i]])...)
			}
		}
		for _, dep := range f.Dependency {
			visit(dep)
		}
	}
	visit(file.GetName())
	return names
}

// importPath returns the import path of a file's Go package. The generator knows the path
// only for messages and enums: importPath returns "" for a file that neither has nor uses
// any of its own package.
func (p *ttrpcGenerator) importPath(file *generator.FileDescriptor) generator.GoImportPath {
	if first := firstType(file.FileDescriptorProto); first != "" {
		return p.ObjectNamed(first).GoImportPath()
	}
	for _, s := range file.Service {
		for _, m := range s.Method {
			for _, name := range []string{m.GetInputType(), m.GetOutputType()} {
				if obj := p.ObjectNamed(name); p.DefaultPackageName(obj) == "" {
					return obj.GoImportPath()
				}
			}
		}
	}
	return ""
}

// firstType returns the full name of a message or enum of a file, or "" if it has none.
func firstType(f *descriptor.FileDescriptorProto) string {
	prefix := "."
	if pkg := f.GetPackage(); pkg != "" {
		prefix += pkg + "."
	}
	switch {
	case len(f.MessageType) > 0:
		return prefix + f.MessageType[0].GetName()
	case len(f.EnumType) > 0:
		return prefix + f.EnumType[0].GetName()
	}
	return ""
}

// fileNames returns the Go names of a file that may collide with names of stubs: the names
// of messages, enums, extensions, oneofs and defaults, as gogo's options change them.
func fileNames(f *descriptor.FileDescriptorProto) []string {
	n := names{file: f}
	n.enums("", f.GetEnumType())
	n.extensions("", f.GetExtension())
	n.messages("", f.GetMessageType())
	return n.list
}

// names collects the names of one file. A scope is the names of the enclosing messages, each
// followed by an underscore.
type names struct {
	file *descriptor.FileDescriptorProto
	list []string
}

func (n *names) add(list ...string) { n.list = append(n.list, list...) }

func (n *names) enums(scope string, list []*descriptor.EnumDescriptorProto) {
	for _, e := range list {
		enum := generator.CamelCase(scope + custom(gogoproto.GetEnumCustomName(e), e.GetName()))
		n.add(enum, enum+"_name", enum+"_value")
		prefix := enum + "_"
		if scope != "" {
			// The name of a nested enum's value begins with the name of the message.
			prefix = generator.CamelCase(scope[:len(scope)-1]) + "_"
		}
		if !gogoproto.EnabledGoEnumPrefix(n.file, e) {
			prefix = ""
		}
		for _, v := range e.Value {
			n.add(prefix + custom(gogoproto.GetEnumValueCustomName(v), v.GetName()))
		}
	}
}

func (n *names) extensions(scope string, list []*descriptor.FieldDescriptorProto) {
	for _, x := range list {
		n.add("E_" + generator.CamelCase(scope+x.GetName()))
	}
}

func (n *names) messages(scope string, list []*descriptor.DescriptorProto) {
	for _, m := range list {
		scope := scope + m.GetName() + "_"
		message := generator.CamelCase(scope[:len(scope)-1])
		n.add(message)
		if gogoproto.HasPopulate(n.file, m) {
			n.add("NewPopulated" + message)
		}
		for _, field := range m.Field {
			name := generator.CamelCase(field.GetName())
			if field.OneofIndex != nil {
				n.add(message + "_" + custom(gogoproto.GetCustomName(field), name))
			}
			if field.DefaultValue != nil {
				n.add("Default_" + message + "_" + name)
			}
		}
		n.enums(scope, m.EnumType)
		n.extensions(scope, m.Extension)
		n.messages(scope, m.NestedType)
	}
}

// custom returns the name from an option, or the usual name if option is empty.
func custom(option, usual string) string {
	if option != "" {
		return option
	}
	return usual
}
