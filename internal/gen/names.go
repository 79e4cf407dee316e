package gen

import (
	"strings"
	"unicode"
)

// scope is a set of Go names that are in use.
type scope map[string]bool

// pick adds name to the scope and returns it, with as many underscores appended as make the
// name unique. protoc-gen-go resolves its own collisions in the same way.
func (s scope) pick(name string) string {
	for s[name] {
		name += "_"
	}
	s[name] = true
	return name
}

// unexport returns name with its first word in lower case: "Task" becomes
// "task", "TTRPCTask" becomes "ttrpcTask".
func unexport(name string) string {
	r := []rune(name)
	for i := range r {
		if !unicode.IsUpper(r[i]) {
			break
		}
		// The last capital of a run begins the next word.
		if i > 0 && i+1 < len(r) && unicode.IsLower(r[i+1]) {
			break
		}
		r[i] = unicode.ToLower(r[i])
	}
	return string(r)
}

// qualifier returns the package name of a qualified Go type, or "".
func qualifier(goType string) string {
	pkg, _, ok := strings.Cut(goType, ".")
	if !ok {
		return ""
	}
	return pkg
}

// service is a Service with all the names that its stubs declare.
type service struct {
	*Service
	Methods []*method

	Interface string // the interface that a server implements
	Register  string
	New       string
	Client    string // the type that New returns: Interface, unless there are streams
	Struct    string // the type that implements Client
}

// method is a Method with all the names that its stubs declare.
type method struct {
	*Method
	Service *service
	GoName  string

	// FullName is the constant for the full name on the wire.
	FullName string

	// Alias is a second name under which the method is registered, or "".
	Alias string

	// Interfaces and implementations of the two ends of a stream.
	ServerStream, ServerStruct string
	ClientStream, ClientStruct string
}

// resolve chooses the names of all declarations of the file. Without collisions these are
// the names that every release generates.
func (f *File) resolve(taken scope) []*service {
	services := make([]*service, len(f.Services))
	base := uniqueNames(len(f.Services), func(i int) (goName, name string) {
		s := f.Services[i]
		return s.GoName, s.FullName[strings.LastIndexByte(s.FullName, '.')+1:]
	})
	// Exported names come first, because other packages use them; unexported names avoid
	// them.
	for i, in := range f.Services {
		s := &service{Service: in}
		s.Interface = taken.pick(base[i] + "Service")
		s.Register = taken.pick("Register" + base[i] + "Service")
		s.New = taken.pick("New" + base[i] + "Client")
		s.Client = s.Interface
		if in.streams() {
			s.Client = taken.pick(base[i] + "Client")
		}
		services[i] = s
	}
	for i, s := range services {
		s.Methods = s.resolveMethods(f.Style)
		for _, m := range s.Methods {
			if m.Streams() {
				m.ServerStream = taken.pick(base[i] + "_" + m.GoName + "Server")
				m.ClientStream = taken.pick(base[i] + "_" + m.GoName + "Client")
			}
		}
	}
	for i, s := range services {
		s.Struct = taken.pick(unexport(base[i]) + "Client")
		for _, m := range s.Methods {
			if m.Streams() {
				m.ServerStruct = taken.pick(unexport(base[i]) + m.GoName + "Server")
				m.ClientStruct = taken.pick(unexport(base[i]) + m.GoName + "Client")
			}
		}
	}
	// Constants come last, since the stubs of releases do not have them. The stubs of gRPC
	// have constants of the same names, but no package has both kinds of stubs for one Go
	// name: both declare the function New...Client.
	for i, s := range services {
		for _, m := range s.Methods {
			m.FullName = taken.pick(base[i] + "_" + m.GoName + "_FullMethodName")
		}
	}
	return services
}

func (s *service) resolveMethods(style Style) []*method {
	names := uniqueNames(len(s.Service.Methods), func(i int) (goName, name string) {
		m := s.Service.Methods[i]
		return m.GoName, m.Name
	})
	registered := make(scope)
	for _, m := range s.Service.Methods {
		registered[m.Name] = true
	}
	methods := make([]*method, len(names))
	for i, in := range s.Service.Methods {
		m := &method{Method: in, Service: s, GoName: names[i]}
		// In the stubs for protobuf-go up to v1.2.10, servers register a method by
		// its Go name, and callers may depend on that.
		if style == ProtobufGo && !registered[in.GoName] {
			m.Alias = in.GoName
			registered[in.GoName] = true
		}
		methods[i] = m
	}
	return methods
}

// uniqueNames returns unique Go names for n services or methods. A Go name that is spelled
// the same in the proto file has priority: "rpc Get" stays Get beside "rpc get".
func uniqueNames(n int, at func(i int) (goName, name string)) []string {
	names := make([]string, n)
	used := make(scope)
	for i := range names {
		if goName, name := at(i); goName == name && !used[goName] {
			names[i] = used.pick(goName)
		}
	}
	for i := range names {
		if names[i] == "" {
			goName, _ := at(i)
			names[i] = used.pick(goName)
		}
	}
	return names
}
