// Package gen writes the Go stubs of ttrpc services. It is the part that the
// two generators share: each describes its services with the types below, in
// terms of its own protobuf library, and prints the text it gets back.
package gen

import "strings"

// Style says for which protobuf generation, and so for which releases of the
// runtime, the stubs are written.
type Style int

const (
	// ProtobufGo is the style of protoc-gen-go-ttrpc: every service is
	// registered with RegisterService.
	ProtobufGo Style = iota
	// Gogo is the style of protoc-gen-gogottrpc: a service without streams
	// is registered with Register, which every release has.
	Gogo
)

// Import paths of the packages that the stubs use.
const (
	ContextPackage = "context"
	TTRPCPackage   = "github.com/containerd/ttrpc"
)

// File is one Go file of stubs.
type File struct {
	Style    Style
	Services []*Service

	// ClientInterface has clients take a ttrpc.Caller instead of a *ttrpc.Client, which
	// the releases do not have.
	ClientInterface bool

	// Taken has the names that the Go package declares already, messages
	// and enums for example. The stubs' own names avoid them.
	Taken []string

	// Qualify returns the Go expression for a name of another package, and
	// makes the file import that package.
	Qualify func(importPath, name string) string
}

// Service is one service of a proto file.
type Service struct {
	// GoName is the base of the names in the generated code.
	GoName string
	// FullName is the name on the wire, with the proto package.
	FullName string
	// Comment is the text of the leading comment, as in the proto file.
	Comment string
	// Deprecated says why the service is deprecated; empty if it is not.
	Deprecated string

	Methods []*Method
}

// Method is one method of a Service.
type Method struct {
	GoName string
	// Name is the name on the wire, which is the one in the proto file.
	Name       string
	Comment    string
	Deprecated string

	// Input and Output are Go types as the file spells them: "Request",
	// "anypb.Any". The stubs use pointers to them.
	Input, Output string

	ClientStreams, ServerStreams bool
}

// Streams tells whether either side streams.
func (m *Method) Streams() bool { return m.ClientStreams || m.ServerStreams }

// streams tells whether any method of the service is a stream.
func (s *Service) streams() bool {
	for _, m := range s.Methods {
		if m.Streams() {
			return true
		}
	}
	return false
}

// comment returns the lines of a Go doc comment: the text, or the fallback when
// there is none, and the deprecation in a paragraph of its own, where the Go
// tools look for it.
func comment(text, fallback, deprecated string) string {
	text = strings.TrimRight(printable(text), " \t\r\n")
	if text == "" {
		text = fallback
	}
	if deprecated != "" && !isDeprecation(text) {
		if text != "" {
			text += "\n\n"
		}
		text += "Deprecated: " + printable(deprecated)
	}
	if text == "" {
		return ""
	}
	var b strings.Builder
	for _, line := range strings.Split(text, "\n") {
		line = strings.TrimRight(line, " \t\r")
		b.WriteString("//")
		// A space of our own keeps a line such as "go:generate" from
		// becoming an instruction to the Go tools.
		if line != "" && line[0] != ' ' && line[0] != '\t' {
			b.WriteByte(' ')
		}
		b.WriteString(line)
		b.WriteByte('\n')
	}
	return b.String()
}

// printable returns a text without that which no Go file may have: bytes that
// are not UTF-8, NUL, and byte order marks. Compilers let all of it through.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if r == 0 || r == '\ufeff' {
			return -1
		}
		return r
	}, strings.ToValidUTF8(text, ""))
}

// isDeprecation tells whether a comment has a deprecation paragraph already.
func isDeprecation(text string) bool {
	blank := true
	for _, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		if blank && strings.HasPrefix(line, "Deprecated: ") {
			return true
		}
		blank = line == ""
	}
	return false
}
