// Package reflection tells clients the types of a server's services, by the protocol
// grpc.reflection.v1.ServerReflection of gRPC, so that tools such as cmd/ttrpc can call
// methods without proto files:
//
//	server, err := ttrpc.NewServer()
//	inventory.RegisterInventoryService(server, &stock{})
//	reflection.Register(server)
//
// The types are those of the program: the registry of google.golang.org/protobuf, which
// golang/protobuf v1 uses as well, and the descriptors that gogo/protobuf generates. Every
// peer that may call the server may ask; the answer has all of the program's types that the
// peer names, not only those of the services.
//
// It is a package of its own because it brings the runtimes of both into a program.
package reflection

import (
	"context"
	"errors"
	"io"
	"sort"

	"github.com/containerd/ttrpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"
)

const (
	serviceName = "grpc.reflection.v1.ServerReflection"
	methodName  = "ServerReflectionInfo"
)

// An Option of Register.
type Option func(*service)

// WithGogoFiles names proto files of gogo/protobuf as the generated code registers them,
// such as "github.com/example/api/inventory.proto". It is needed for a service alone of
// whose methods none, M, has a message MRequest or MResponse in the same package: gogo's
// registry knows messages, and files by their names, but no services.
func WithGogoFiles(names ...string) Option {
	return func(s *service) { s.gogoFiles = append(s.gogoFiles, names...) }
}

// Register adds the reflection service to a server, whose services may be registered before
// or later. It panics if the server has that service.
func Register(server *ttrpc.Server, opts ...Option) {
	s := &service{services: server.Services}
	for _, opt := range opts {
		opt(s)
	}
	s.types.init(s.gogoFiles, s.services)
	server.RegisterService(serviceName, &ttrpc.ServiceDesc{Streams: map[string]ttrpc.Stream{
		methodName: {Handler: s.serve, StreamingClient: true, StreamingServer: true},
	}})
}

// service serves any number of streams at once.
type service struct {
	services  func() map[string]*ttrpc.ServiceDesc
	gogoFiles []string
	types     types
}

// serve answers the requests of one stream, one after another.
func (s *service) serve(_ context.Context, stream ttrpc.StreamServer) (any, error) {
	sent := map[string]bool{} // the files that the client has
	for {
		req := dynamicpb.NewMessage(requestType)
		if err := stream.RecvMsg(req); err == io.EOF {
			return nil, nil
		} else if err != nil {
			return nil, err
		}
		err := stream.SendMsg(s.answer(req, sent))
		var oversized *ttrpc.OversizedMessageErr
		if errors.As(err, &oversized) {
			err = stream.SendMsg(answerError(req, codes.ResourceExhausted, oversized.Error()))
		}
		if err != nil {
			return nil, err
		}
	}
}

// answer returns the response to a request, and notes in sent the files that it has.
func (s *service) answer(req *dynamicpb.Message, sent map[string]bool) *dynamicpb.Message {
	field := req.WhichOneof(requestType.Oneofs().ByName("message_request"))
	if field == nil {
		return answerError(req, codes.InvalidArgument, "the request asks for nothing")
	}
	value := req.Get(field)
	var file protoreflect.FileDescriptor
	switch field.Name() {
	case "list_services":
		return s.answerServices(req)
	case "all_extension_numbers_of_type":
		return s.answerNumbers(req, protoreflect.FullName(value.String()))
	case "file_by_filename":
		file = s.types.file(value.String())
	case "file_containing_symbol":
		if d := s.types.find(protoreflect.FullName(value.String())); d != nil {
			file = d.ParentFile()
		}
	case "file_containing_extension":
		ext := value.Message()
		extendee := ext.Get(ext.Descriptor().Fields().ByName("containing_type")).String()
		number := ext.Get(ext.Descriptor().Fields().ByName("extension_number")).Int()
		file = fileOfExtension(protoreflect.FullName(extendee), protoreflect.FieldNumber(number))
	}
	if file == nil {
		return answerError(req, codes.NotFound, "the program has no type or file of that name")
	}
	return answerFiles(req, file, sent)
}

// answerServices lists the services by name.
func (s *service) answerServices(req *dynamicpb.Message) *dynamicpb.Message {
	var names []string
	for name := range s.services() {
		names = append(names, name)
	}
	sort.Strings(names)
	resp, list := newAnswer(req, "list_services_response")
	services := list.Mutable(list.Descriptor().Fields().ByName("service")).List()
	for _, name := range names {
		m := services.AppendMutable().Message()
		m.Set(m.Descriptor().Fields().ByName("name"), protoreflect.ValueOfString(name))
	}
	return resp
}

// answerNumbers lists the numbers of the known extensions of a message.
func (s *service) answerNumbers(req *dynamicpb.Message, message protoreflect.FullName) *dynamicpb.Message {
	if _, ok := s.types.find(message).(protoreflect.MessageDescriptor); !ok {
		return answerError(req, codes.NotFound, "the program has no message of that name")
	}
	resp, list := newAnswer(req, "all_extension_numbers_response")
	list.Set(list.Descriptor().Fields().ByName("base_type_name"), protoreflect.ValueOfString(string(message)))
	numbers := list.Mutable(list.Descriptor().Fields().ByName("extension_number")).List()
	for _, n := range extensionNumbers(message) {
		numbers.Append(protoreflect.ValueOfInt32(int32(n)))
	}
	return resp
}

// answerFiles returns the file and the files that it imports, apart from those in sent.
func answerFiles(req *dynamicpb.Message, file protoreflect.FileDescriptor, sent map[string]bool) *dynamicpb.Message {
	resp, files := newAnswer(req, "file_descriptor_response")
	list := files.Mutable(files.Descriptor().Fields().ByName("file_descriptor_proto")).List()
	queue := []protoreflect.FileDescriptor{file}
	for first := true; len(queue) > 0; first = false {
		file, queue = queue[0], queue[1:]
		// The file asked for is sent again: a client that asks for it has a use for it.
		if file.IsPlaceholder() || sent[file.Path()] && !first {
			continue
		}
		b, err := proto.Marshal(protodesc.ToFileDescriptorProto(file))
		if err != nil {
			return answerError(req, codes.Internal, err.Error())
		}
		sent[file.Path()] = true
		list.Append(protoreflect.ValueOfBytes(b))
		for i := 0; i < file.Imports().Len(); i++ {
			queue = append(queue, file.Imports().Get(i).FileDescriptor)
		}
	}
	return resp
}

func answerError(req *dynamicpb.Message, code codes.Code, text string) *dynamicpb.Message {
	resp, e := newAnswer(req, "error_response")
	e.Set(e.Descriptor().Fields().ByName("error_code"), protoreflect.ValueOfInt32(int32(code)))
	e.Set(e.Descriptor().Fields().ByName("error_message"), protoreflect.ValueOfString(text))
	return resp
}

// newAnswer returns a response to a request, and the message of its field that the caller
// fills in.
func newAnswer(req *dynamicpb.Message, field protoreflect.Name) (*dynamicpb.Message, protoreflect.Message) {
	resp := dynamicpb.NewMessage(responseType)
	fields := responseType.Fields()
	host := req.Get(requestType.Fields().ByName("host"))
	resp.Set(fields.ByName("valid_host"), host)
	resp.Set(fields.ByName("original_request"), protoreflect.ValueOfMessage(req))
	return resp, resp.Mutable(fields.ByName(field)).Message()
}
