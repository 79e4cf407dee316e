package gen

import (
	"fmt"
	"strconv"
	"strings"
	"text/template"
)

// Text returns the Go declarations of all services of the file, without package clause and
// imports. The text is formatted, except for blank lines.
func (f *File) Text() (string, error) {
	if len(f.Services) == 0 {
		return "", nil
	}
	p := f.printer()
	var b strings.Builder
	for _, s := range f.resolve(p.taken) {
		if err := p.stubs.ExecuteTemplate(&b, "service", s); err != nil {
			return "", fmt.Errorf("service %s: %w", s.FullName, err)
		}
	}
	return strings.TrimSpace(b.String()), nil
}

// printer has the values that the templates need besides their service or method.
type printer struct {
	file  *File
	stubs *template.Template

	// taken has the names of the Go package and of this file's imports.
	taken scope
	// imports has the names of this file's imports, which no local variable may hide.
	imports map[string]bool
}

func (f *File) printer() *printer {
	p := &printer{file: f, taken: make(scope), imports: make(map[string]bool)}
	for _, name := range f.Taken {
		p.taken[name] = true
	}
	use := func(goType string) {
		if pkg := qualifier(goType); pkg != "" {
			p.imports[pkg] = true
			p.taken[pkg] = true
		}
	}
	use(p.ttrpc("Client"))
	for _, s := range f.Services {
		for _, m := range s.Methods {
			// A file without methods does not use package context.
			use(p.context())
			use(m.Input)
			use(m.Output)
		}
	}

	funcs := template.FuncMap{
		"comment":         p.comment,
		"serviceComment":  p.serviceComment,
		"clientComment":   p.clientComment,
		"clientType":      p.clientType,
		"methodComment":   p.methodComment,
		"streamComment":   p.streamComment,
		"context":         p.context,
		"ttrpc":           p.ttrpc,
		"quote":           strconv.Quote,
		"serverSignature": p.serverSignature,
		"clientSignature": p.clientSignature,
		"unaryOnly":       p.unaryOnly,
	}
	for _, name := range []string{"c", "client", "ctx", "desc", "err", "req", "resp", "s", "srv", "stream", "svc", "unmarshal"} {
		name := name
		funcs[name] = func() string { return p.local(name) }
	}
	p.stubs = template.Must(template.New("stubs").Funcs(funcs).Parse(stubs))
	return p
}

// local returns the name of a local variable, changed if it would hide an import.
func (p *printer) local(name string) string {
	for p.imports[name] {
		name += "_"
	}
	return name
}

func (p *printer) context() string { return p.file.Qualify(ContextPackage, "Context") }

func (p *printer) ttrpc(name string) string { return p.file.Qualify(TTRPCPackage, name) }

// unaryOnly reports whether a service is registered with Register, which has no streams and
// exists in every release.
func (p *printer) unaryOnly(s *service) bool { return p.file.Style == Gogo && !s.streams() }

// comment returns the comment of a declaration of a service.
func (p *printer) comment(s *service, text, fallback string, args ...any) string {
	return comment(text, fmt.Sprintf(fallback, args...), s.Deprecated)
}

// serviceComment returns the comment of the interface that a server implements. Without
// streams, clients have the same interface.
func (p *printer) serviceComment(s *service) string {
	if s.Client == s.Interface {
		return p.ownComment(s, "%s is the service %s: a server implements it, and %s returns a client.", s.Interface, s.FullName, s.New)
	}
	return p.ownComment(s, "%s is the service %s, for a server to implement.", s.Interface, s.FullName)
}

// clientComment returns the comment of the type that New returns.
func (p *printer) clientComment(s *service) string {
	return p.ownComment(s, "%s is a client of the service %s, as %s returns it.", s.Client, s.FullName, s.New)
}

// ownComment returns a sentence about a declaration, followed by the comment of the proto
// file in a paragraph of its own.
func (p *printer) ownComment(s *service, format string, args ...any) string {
	text := fmt.Sprintf(format, args...)
	if more := comment(s.Comment, "", ""); more != "" {
		text += "\n\n" + s.Comment
	}
	return comment(text, "", s.Deprecated)
}

// clientType returns the type of the parameter of New.
func (p *printer) clientType() string {
	if p.file.ClientInterface {
		return p.ttrpc("Caller")
	}
	return "*" + p.ttrpc("Client")
}

func (p *printer) methodComment(m *method) string { return comment(m.Comment, "", m.Deprecated) }

// streamComment returns the comment of the interface of one end of a stream.
func (p *printer) streamComment(m *method, name, end string) string {
	deprecated := m.Deprecated
	if deprecated == "" {
		deprecated = m.Service.Deprecated
	}
	return comment("", fmt.Sprintf("%s is the %s's end of a stream of %s/%s.", name, end, m.Service.FullName, m.Name), deprecated)
}

// serverSignature returns the signature of a method in the interface that a server
// implements.
func (p *printer) serverSignature(m *method) string {
	params := p.params(p.file.Style == Gogo, m, m.ServerStream)
	if m.ServerStreams {
		return m.GoName + params + " error"
	}
	return m.GoName + params + " (*" + m.Output + ", error)"
}

// clientSignature returns the signature of a method in the interface of a client, or, with
// named parameters, in its implementation.
func (p *printer) clientSignature(m *method, params string) string {
	sig := m.GoName + p.params(params == "named" || p.file.Style == Gogo, m, "")
	if m.Streams() {
		return sig + " (" + m.ClientStream + ", error)"
	}
	return sig + " (*" + m.Output + ", error)"
}

// params returns the parameter list of a method: the context, the request unless the client
// streams, and the stream of a server.
func (p *printer) params(named bool, m *method, stream string) string {
	var list []string
	add := func(name, goType string) {
		if named {
			goType = p.local(name) + " " + goType
		}
		list = append(list, goType)
	}
	add("ctx", p.context())
	if !m.ClientStreams {
		add("req", "*"+m.Input)
	}
	if m.Streams() && stream != "" {
		add("stream", stream)
	}
	return "(" + strings.Join(list, ", ") + ")"
}
