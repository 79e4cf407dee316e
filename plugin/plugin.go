// Package plugin is the ttrpc plugin of github.com/gogo/protobuf's generator: it adds the
// ttrpc services of a proto file to the code of the messages.
//
// The package exports nothing. A program built on gogo's generator imports it for its side
// effect, and the generator's option "plugins=ttrpc" turns the plugin on.
package plugin

import (
	"strconv"
	"unicode"
	"unicode/utf8"

	"github.com/gogo/protobuf/protoc-gen-gogo/descriptor"
	"github.com/gogo/protobuf/protoc-gen-gogo/generator"

	"github.com/containerd/ttrpc/internal/gen"
)

func init() {
	generator.RegisterPlugin(new(ttrpcGenerator))
	// If messages come from a package of this name, that package is renamed in the
	// generated code, as for the packages that gogo itself needs.
	generator.RegisterUniquePackageName("context", nil)
}

// ttrpcGenerator implements generator.Plugin. The generator has one ttrpcGenerator and calls
// it for one file after another.
type ttrpcGenerator struct {
	*generator.Generator
	generator.PluginImports
}

func (p *ttrpcGenerator) Name() string { return "ttrpc" }

func (p *ttrpcGenerator) Init(g *generator.Generator) { p.Generator = g }

// Generate prints the services of a file. The generator also calls it for imported files,
// and drops the output.
func (p *ttrpcGenerator) Generate(file *generator.FileDescriptor) {
	p.PluginImports = generator.NewPluginImports(p.Generator)
	if len(file.Service) == 0 || !p.requested(file) {
		return
	}
	imports := map[string]generator.Single{
		gen.ContextPackage: p.NewImport(gen.ContextPackage),
		gen.TTRPCPackage:   p.NewImport(gen.TTRPCPackage),
	}
	client, interfaces := p.Param["client"]
	if interfaces && client != "interface" {
		p.Fail("option client=" + client + ": only client=interface is known")
	}
	stubs := &gen.File{
		Style:           gen.Gogo,
		ClientInterface: interfaces,
		Qualify: func(importPath, name string) string {
			return imports[importPath].Use() + "." + name
		},
	}
	for i, s := range file.Service {
		stubs.Services = append(stubs.Services, p.describe(file, s, i))
	}
	stubs.Taken = p.declared(file)
	text, err := stubs.Text()
	if err != nil {
		p.Error(err, file.GetName())
	}
	p.P(text)
}

func (p *ttrpcGenerator) requested(file *generator.FileDescriptor) bool {
	for _, name := range p.Request.FileToGenerate {
		if name == file.GetName() {
			return true
		}
	}
	return false
}

// Field numbers in the paths of comments: FileDescriptorProto.service and
// ServiceDescriptorProto.method.
const (
	serviceField = 6
	methodField  = 2
)

func (p *ttrpcGenerator) describe(file *generator.FileDescriptor, s *descriptor.ServiceDescriptorProto, index int) *gen.Service {
	fullName := s.GetName()
	if pkg := file.GetPackage(); pkg != "" {
		fullName = pkg + "." + fullName
	}
	path := commentPath(serviceField, index)
	out := &gen.Service{
		GoName:   serviceName(s),
		FullName: fullName,
		Comment:  p.Comments(path),
	}
	if s.GetOptions().GetDeprecated() {
		out.Deprecated = deprecation(file)
	}
	for i, m := range s.Method {
		method := &gen.Method{
			GoName:        exported(m.GetName()),
			Name:          m.GetName(),
			Comment:       p.Comments(path + "," + commentPath(methodField, i)),
			Input:         p.goType(m.GetInputType()),
			Output:        p.goType(m.GetOutputType()),
			ClientStreams: m.GetClientStreaming(),
			ServerStreams: m.GetServerStreaming(),
		}
		if m.GetOptions().GetDeprecated() {
			method.Deprecated = deprecation(file)
		}
		out.Methods = append(out.Methods, method)
	}
	return out
}

func commentPath(field, index int) string {
	return strconv.Itoa(field) + "," + strconv.Itoa(index)
}

// deprecation returns the text of a deprecation, which protoc-gen-go words the same way.
func deprecation(file *generator.FileDescriptor) string {
	return "Marked as deprecated in " + file.GetName() + "."
}

// serviceName returns the base of the Go names of a service: its name in the proto file. For
// a service with streams the base is exported, so that other packages can implement the
// service; without streams it is unchanged, as in every release.
func serviceName(s *descriptor.ServiceDescriptorProto) string {
	for _, m := range s.Method {
		if m.GetClientStreaming() || m.GetServerStreaming() {
			return exported(s.GetName())
		}
	}
	return s.GetName()
}

// exported returns a name unchanged if Go exports it, otherwise in camel case.
//
// Releases name methods as in the proto file; if Go does not export such a name, no other
// package can implement the service.
func exported(name string) string {
	if r, _ := utf8.DecodeRuneInString(name); unicode.IsUpper(r) {
		return name
	}
	return generator.CamelCase(name)
}

// goType returns the Go type of a message, and makes the file import its package.
func (p *ttrpcGenerator) goType(message string) string {
	p.RecordTypeUse(message)
	return p.TypeName(p.ObjectNamed(message))
}
