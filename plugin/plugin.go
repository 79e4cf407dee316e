// Package plugin is the ttrpc plugin of github.com/gogo/protobuf's generator: it
// adds the ttrpc services of a proto file to the code of its messages.
//
// It exports nothing. A program built on gogo's generator imports it for its
// side effect, and "plugins=ttrpc" among the generator's options turns it on.
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
	// Messages may come from a package of this name; it is they which get
	// another one then, as it is with the packages that gogo itself needs.
	generator.RegisterUniquePackageName("context", nil)
}

// ttrpcGenerator implements generator.Plugin. The generator has one, and calls
// it for one file after the other.
type ttrpcGenerator struct {
	*generator.Generator
	generator.PluginImports
}

func (p *ttrpcGenerator) Name() string { return "ttrpc" }

func (p *ttrpcGenerator) Init(g *generator.Generator) { p.Generator = g }

// Generate prints the services of a file. The generator also comes here for
// the files that the requested ones import, whose output it drops.
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

// Field numbers that the paths of comments are made of: FileDescriptorProto.service
// and ServiceDescriptorProto.method.
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

// deprecation is worded as in the code for google.golang.org/protobuf.
func deprecation(file *generator.FileDescriptor) string {
	return "Marked as deprecated in " + file.GetName() + "."
}

// serviceName returns the base of the Go names of a service: its name in the proto
// file, unchanged. With streams they must be exported, so that other
// packages can implement the service; without, they stay the same as ever.
func serviceName(s *descriptor.ServiceDescriptorProto) string {
	for _, m := range s.Method {
		if m.GetClientStreaming() || m.GetServerStreaming() {
			return exported(s.GetName())
		}
	}
	return s.GetName()
}

// exported returns a name as it is if Go exports it, else in camel case.
//
// Methods have always been named as in the proto file, and where Go did not
// export the name, nothing outside the package could implement the service.
func exported(name string) string {
	if r, _ := utf8.DecodeRuneInString(name); unicode.IsUpper(r) {
		return name
	}
	return generator.CamelCase(name)
}

// goType returns the Go type of a message, and has its package imported.
func (p *ttrpcGenerator) goType(message string) string {
	p.RecordTypeUse(message)
	return p.TypeName(p.ObjectNamed(message))
}
