// Package gen generates the Go stubs of ttrpc services. Both generators use it: a generator
// describes the services with the types below, in terms of its own protobuf library, and
// prints the text that File.Text returns.
package gen

import "strings"

// Style is the protobuf generation of the stubs. It decides which releases of package ttrpc
// can run them.
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

	// ClientInterface makes clients take a ttrpc.Caller, which releases do not have,
	// instead of a *ttrpc.Client.
	ClientInterface bool

	// Taken has the names that the Go package declares already, such as messages and
	// enums. The names of the stubs avoid them.
	Taken []string

	// Qualify returns the Go expression for a name of another package, and makes the
	// file import that package.
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
	// Deprecated is the reason for a deprecation, or "".
	Deprecated string

	Methods []*Method
}

// Method is one method of a Service.
type Method struct {
	GoName string
	// Name is the name on the wire and in the proto file.
	Name       string
	Comment    string
	Deprecated string

	// Input and Output are Go types as the file spells them: "Request",
	// "anypb.Any". The stubs use pointers to them.
	Input, Output string

	ClientStreams, ServerStreams bool
}

// Streams reports whether either side streams.
func (m *Method) Streams() bool { return m.ClientStreams || m.ServerStreams }

// streams reports whether any method of the service is a stream.
func (s *Service) streams() bool {
	for _, m := range s.Methods {
		if m.Streams() {
			return true
		}
	}
	return false
}

// comment returns the lines of a Go doc comment: the text, or the fallback if the text is
// empty, and the deprecation in a paragraph of its own, as the Go tools expect it.
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
		// The space keeps a line such as "go:generate" from becoming a directive to
		// the Go tools.
		if line != "" && line[0] != ' ' && line[0] != '\t' {
			b.WriteByte(' ')
		}
		b.WriteString(line)
		b.WriteByte('\n')
	}
	return b.String()
}

// printable returns text without bytes that are not UTF-8, NULs and byte order marks, which
// no Go file may have. The protobuf compilers do not remove them.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if r == 0 || r == '\ufeff' {
			return -1
		}
		return r
	}, strings.ToValidUTF8(text, ""))
}

// isDeprecation reports whether a comment already has a deprecation paragraph.
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
