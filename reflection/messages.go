package reflection

import (
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
)

// The messages of the protocol are dynamic ones, of a descriptor that is in no registry: a
// program may have grpc's package of these messages, and the registry refuses a second
// one.
var (
	reflectionFile = newReflectionFile()
	requestType    = reflectionFile.Messages().ByName("ServerReflectionRequest")
	responseType   = reflectionFile.Messages().ByName("ServerReflectionResponse")
)

const protocolPackage = "grpc.reflection.v1"

// newReflectionFile describes grpc/reflection/v1/reflection.proto.
func newReflectionFile() protoreflect.FileDescriptor {
	const (
		str   = descriptorpb.FieldDescriptorProto_TYPE_STRING
		bytes = descriptorpb.FieldDescriptorProto_TYPE_BYTES
		i32   = descriptorpb.FieldDescriptorProto_TYPE_INT32
	)
	file := &descriptorpb.FileDescriptorProto{
		Name:    proto.String("grpc/reflection/v1/reflection.proto"),
		Package: proto.String(protocolPackage),
		Syntax:  proto.String("proto3"),
		MessageType: []*descriptorpb.DescriptorProto{
			message("ServerReflectionRequest", "message_request",
				field("host", 1, str),
				oneof(field("file_by_filename", 3, str)),
				oneof(field("file_containing_symbol", 4, str)),
				oneof(messageField("file_containing_extension", 5, "ExtensionRequest")),
				oneof(field("all_extension_numbers_of_type", 6, str)),
				oneof(field("list_services", 7, str))),
			message("ExtensionRequest", "",
				field("containing_type", 1, str),
				field("extension_number", 2, i32)),
			message("ServerReflectionResponse", "message_response",
				field("valid_host", 1, str),
				messageField("original_request", 2, "ServerReflectionRequest"),
				oneof(messageField("file_descriptor_response", 4, "FileDescriptorResponse")),
				oneof(messageField("all_extension_numbers_response", 5, "ExtensionNumberResponse")),
				oneof(messageField("list_services_response", 6, "ListServiceResponse")),
				oneof(messageField("error_response", 7, "ErrorResponse"))),
			message("FileDescriptorResponse", "", repeated(field("file_descriptor_proto", 1, bytes))),
			message("ExtensionNumberResponse", "",
				field("base_type_name", 1, str),
				repeated(field("extension_number", 2, i32))),
			message("ListServiceResponse", "", repeated(messageField("service", 1, "ServiceResponse"))),
			message("ServiceResponse", "", field("name", 1, str)),
			message("ErrorResponse", "",
				field("error_code", 1, i32),
				field("error_message", 2, str)),
		},
		Service: []*descriptorpb.ServiceDescriptorProto{{
			Name: proto.String("ServerReflection"),
			Method: []*descriptorpb.MethodDescriptorProto{{
				Name:            proto.String(methodName),
				InputType:       proto.String("." + protocolPackage + ".ServerReflectionRequest"),
				OutputType:      proto.String("." + protocolPackage + ".ServerReflectionResponse"),
				ClientStreaming: proto.Bool(true),
				ServerStreaming: proto.Bool(true),
			}},
		}},
	}
	fd, err := protodesc.NewFile(file, nil)
	if err != nil {
		panic("BUG: ttrpc/reflection: " + err.Error())
	}
	return fd
}

// message describes a message, with a oneof of that name unless it is empty.
func message(name, oneofName string, fields ...*descriptorpb.FieldDescriptorProto) *descriptorpb.DescriptorProto {
	m := &descriptorpb.DescriptorProto{Name: proto.String(name), Field: fields}
	if oneofName != "" {
		m.OneofDecl = []*descriptorpb.OneofDescriptorProto{{Name: proto.String(oneofName)}}
	}
	return m
}

func field(name string, number int32, kind descriptorpb.FieldDescriptorProto_Type) *descriptorpb.FieldDescriptorProto {
	return &descriptorpb.FieldDescriptorProto{
		Name:   proto.String(name),
		Number: proto.Int32(number),
		Type:   kind.Enum(),
		Label:  descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum(),
	}
}

func messageField(name string, number int32, of string) *descriptorpb.FieldDescriptorProto {
	f := field(name, number, descriptorpb.FieldDescriptorProto_TYPE_MESSAGE)
	f.TypeName = proto.String("." + protocolPackage + "." + of)
	return f
}

func oneof(f *descriptorpb.FieldDescriptorProto) *descriptorpb.FieldDescriptorProto {
	f.OneofIndex = proto.Int32(0)
	return f
}

func repeated(f *descriptorpb.FieldDescriptorProto) *descriptorpb.FieldDescriptorProto {
	f.Label = descriptorpb.FieldDescriptorProto_LABEL_REPEATED.Enum()
	return f
}
