package reflection

import (
	"bytes"
	"compress/gzip"
	"io"
	"reflect"
	"sort"
	"strings"
	"sync"

	"github.com/containerd/ttrpc"
	gogo "github.com/gogo/protobuf/proto"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
)

// types finds the program's types: in the global registry, and in its own, which has the
// protocol of reflection and those files of gogo/protobuf that somebody has asked for.
type types struct {
	services func() map[string]*ttrpc.ServiceDesc

	mu     sync.Mutex
	own    protoregistry.Files
	adding map[string]bool // the files being added, of which each imports the next
}

// init prepares t, with some files of gogo's.
func (t *types) init(gogoFiles []string, services func() map[string]*ttrpc.ServiceDesc) {
	t.services = services
	t.adding = map[string]bool{}
	if err := t.own.RegisterFile(reflectionFile); err != nil {
		panic("BUG: ttrpc/reflection: " + err.Error())
	}
	for _, name := range gogoFiles {
		t.addGogo(name, gogo.FileDescriptor(name))
	}
}

// file returns the file with that name, or nil.
func (t *types) file(name string) protoreflect.FileDescriptor {
	t.mu.Lock()
	defer t.mu.Unlock()
	if fd, err := t.FindFileByPath(name); err == nil {
		return fd
	}
	return t.addGogo(name, gogo.FileDescriptor(name))
}

// find returns the type, service or method with that name, or nil.
func (t *types) find(name protoreflect.FullName) protoreflect.Descriptor {
	if !name.IsValid() {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if d, err := t.FindDescriptorByName(name); err == nil {
		return d
	}
	t.addGogoMessage(name)
	for service, desc := range t.services() {
		if name == protoreflect.FullName(service) || strings.HasPrefix(string(name), service+".") {
			t.addGogoService(protoreflect.FullName(service), desc)
		}
	}
	if d, err := t.FindDescriptorByName(name); err == nil {
		return d
	}
	return nil
}

// FindFileByPath implements protodesc.Resolver, for the holder of mu.
func (t *types) FindFileByPath(name string) (protoreflect.FileDescriptor, error) {
	if fd, err := protoregistry.GlobalFiles.FindFileByPath(name); err == nil {
		return fd, nil
	}
	return t.own.FindFileByPath(name)
}

// FindDescriptorByName implements protodesc.Resolver, for the holder of mu.
func (t *types) FindDescriptorByName(name protoreflect.FullName) (protoreflect.Descriptor, error) {
	if d, err := protoregistry.GlobalFiles.FindDescriptorByName(name); err == nil {
		return d, nil
	}
	return t.own.FindDescriptorByName(name)
}

// addGogoService adds the file of a service, if a message that may be one of its methods'
// is in the same file.
func (t *types) addGogoService(service protoreflect.FullName, desc *ttrpc.ServiceDesc) {
	var names []string
	for m := range desc.Methods {
		names = append(names, m)
	}
	for m := range desc.Streams {
		names = append(names, m)
	}
	sort.Strings(names)
	for _, m := range names {
		for _, suffix := range []string{"Request", "Response", "Req", "Resp"} {
			t.addGogoMessage(service.Parent().Append(protoreflect.Name(m + suffix)))
			if _, err := t.own.FindDescriptorByName(service); err == nil {
				return
			}
		}
	}
}

// addGogoMessage adds the file of a message that gogo's registry has.
func (t *types) addGogoMessage(name protoreflect.FullName) {
	typ := gogo.MessageType(string(name))
	if typ == nil || typ.Kind() != reflect.Ptr {
		return
	}
	m, ok := reflect.New(typ.Elem()).Interface().(interface{ Descriptor() ([]byte, []int) })
	if !ok {
		return
	}
	compressed, _ := m.Descriptor()
	t.addGogo("", compressed)
}

// addGogo adds a file of gogo's, from the compressed descriptor in its generated code, and
// those that it imports. It returns nil if there is none or it makes no sense.
func (t *types) addGogo(name string, compressed []byte) protoreflect.FileDescriptor {
	file := decompress(compressed)
	if file == nil {
		return nil
	}
	if name != "" {
		file.Name = proto.String(name)
	}
	if fd, err := t.FindFileByPath(file.GetName()); err == nil {
		return fd
	}
	if t.adding[file.GetName()] {
		return nil // it imports itself: by a short name, which addImport tries
	}
	t.adding[file.GetName()] = true
	defer delete(t.adding, file.GetName())
	for i, dep := range file.Dependency {
		file.Dependency[i] = t.addImport(dep)
	}
	// A file that is missing is left out, so the client gets the rest.
	fd, err := protodesc.FileOptions{AllowUnresolvable: true}.New(file, t)
	if err != nil || t.own.RegisterFile(fd) != nil {
		return nil
	}
	return fd
}

// addImport adds an imported file and returns its name in the registry: gogo's code may
// import a file by a longer name than it has, such as
// "github.com/gogo/protobuf/gogoproto/gogo.proto" for "gogo.proto".
func (t *types) addImport(name string) string {
	for short := name; ; {
		if _, err := t.FindFileByPath(short); err == nil {
			return short
		}
		if fd := t.addGogo(short, gogo.FileDescriptor(short)); fd != nil {
			return fd.Path()
		}
		_, rest, ok := strings.Cut(short, "/")
		if !ok {
			return name
		}
		short = rest
	}
}

func decompress(compressed []byte) *descriptorpb.FileDescriptorProto {
	if len(compressed) == 0 {
		return nil
	}
	r, err := gzip.NewReader(bytes.NewReader(compressed))
	if err != nil {
		return nil
	}
	b, err := io.ReadAll(r)
	file := &descriptorpb.FileDescriptorProto{}
	if err != nil || proto.Unmarshal(b, file) != nil {
		return nil
	}
	return file
}

func fileOfExtension(message protoreflect.FullName, number protoreflect.FieldNumber) protoreflect.FileDescriptor {
	ext, err := protoregistry.GlobalTypes.FindExtensionByNumber(message, number)
	if err != nil {
		return nil
	}
	return ext.TypeDescriptor().ParentFile()
}

func extensionNumbers(message protoreflect.FullName) (numbers []protoreflect.FieldNumber) {
	protoregistry.GlobalTypes.RangeExtensionsByMessage(message, func(ext protoreflect.ExtensionType) bool {
		numbers = append(numbers, ext.TypeDescriptor().Number())
		return true
	})
	sort.Slice(numbers, func(i, j int) bool { return numbers[i] < numbers[j] })
	return numbers
}
