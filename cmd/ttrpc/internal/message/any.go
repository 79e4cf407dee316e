package message

import (
	"errors"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protopath"
	"google.golang.org/protobuf/reflect/protorange"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
)

// An Any of a type that nobody knows, or whose bytes are not of its type, is
// {"@type": ..., "@value": base64} in JSON. protojson cannot write that, so the Any is
// given a message of the type unknown before, which has the bytes in its field "@value".

const anyName = "google.protobuf.Any"

// unknown is the type of messages whose type is not known.
var unknown = newUnknown()

func newUnknown() protoreflect.MessageType {
	file, err := protodesc.NewFile(&descriptorpb.FileDescriptorProto{
		Name: proto.String("ttrpc-unknown.proto"), Syntax: proto.String("proto3"),
		MessageType: []*descriptorpb.DescriptorProto{{
			Name: proto.String("Unknown"),
			Field: []*descriptorpb.FieldDescriptorProto{{
				Name: proto.String("value"), JsonName: proto.String("@value"), Number: proto.Int32(1),
				Type:  descriptorpb.FieldDescriptorProto_TYPE_BYTES.Enum(),
				Label: descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum(),
			}},
		}},
	}, nil)
	if err != nil {
		panic("BUG: " + err.Error())
	}
	return dynamicpb.NewMessageType(file.Messages().Get(0))
}

var unknownValue = unknown.Descriptor().Fields().Get(0)

// lenient returns the type unknown for messages that Types does not know.
type lenient struct{ Types }

func (l lenient) FindMessageByURL(url string) (protoreflect.MessageType, error) {
	mt, err := l.Types.FindMessageByURL(url)
	if errors.Is(err, protoregistry.NotFound) {
		return unknown, nil
	}
	return mt, err
}

// wrapAnys puts the value of each Any in m that cannot be decoded into a message of the
// type unknown.
func wrapAnys(m proto.Message, types Types) {
	eachAny(m, func(any protoreflect.Message, url, value protoreflect.FieldDescriptor) {
		if decodable(any, url, value, types, maxNesting) {
			return
		}
		wrapped := unknown.New()
		wrapped.Set(unknownValue, any.Get(value))
		b, err := proto.Marshal(wrapped.Interface())
		if err != nil {
			panic("BUG: " + err.Error())
		}
		any.Set(value, protoreflect.ValueOfBytes(b))
		// A name that somebody knows would be decoded again.
		if s := any.Get(url).String(); s == "" {
			any.Set(url, protoreflect.ValueOfString("/"))
		} else if _, err := types.FindMessageByURL(s); err == nil {
			any.Set(url, protoreflect.ValueOfString(s+"/(bytes of another type)"))
		}
	})
}

// unwrapAnys undoes wrapAnys in a message that has just been read.
func unwrapAnys(m proto.Message, types Types) {
	eachAny(m, func(any protoreflect.Message, url, value protoreflect.FieldDescriptor) {
		if _, err := types.FindMessageByURL(any.Get(url).String()); err == nil {
			return
		}
		wrapped := unknown.New()
		if proto.Unmarshal(any.Get(value).Bytes(), wrapped.Interface()) == nil {
			any.Set(value, wrapped.Get(unknownValue))
		}
	})
}

// eachAny calls f for every Any in m that is set, but for those within an Any.
func eachAny(m proto.Message, f func(any protoreflect.Message, url, value protoreflect.FieldDescriptor)) {
	// With this resolver protorange leaves the value of an Any alone.
	options := protorange.Options{Resolver: noTypes{}}
	_ = options.Range(m.ProtoReflect(), func(v protopath.Values) error {
		any, ok := v.Index(-1).Value.Interface().(protoreflect.Message)
		if !ok || any.Descriptor().FullName() != anyName {
			return nil
		}
		url, value := any.Descriptor().Fields().ByNumber(1), any.Descriptor().Fields().ByNumber(2)
		if any.Get(url).String() != "" || len(any.Get(value).Bytes()) > 0 {
			f(any, url, value)
		}
		return nil
	}, nil)
}

// maxNesting limits how deep an Any is in another one. Each level is decoded once for each
// level around it.
const maxNesting = 16

// decodable reports whether the value of an Any is of a type that is known, and so are
// those of every Any in it, down to a depth.
func decodable(any protoreflect.Message, url, value protoreflect.FieldDescriptor, types Types, depth int) bool {
	mt, err := types.FindMessageByURL(any.Get(url).String())
	if err != nil || depth == 0 {
		return false
	}
	inner := mt.New().Interface()
	if proto.Unmarshal(any.Get(value).Bytes(), inner) != nil {
		return false
	}
	ok := true
	eachAny(inner, func(any protoreflect.Message, url, value protoreflect.FieldDescriptor) {
		ok = ok && decodable(any, url, value, types, depth-1)
	})
	return ok
}

// noTypes knows no types.
type noTypes struct{}

func (noTypes) FindMessageByName(protoreflect.FullName) (protoreflect.MessageType, error) {
	return nil, protoregistry.NotFound
}

func (noTypes) FindMessageByURL(string) (protoreflect.MessageType, error) {
	return nil, protoregistry.NotFound
}

func (noTypes) FindExtensionByName(protoreflect.FullName) (protoreflect.ExtensionType, error) {
	return nil, protoregistry.NotFound
}

func (noTypes) FindExtensionByNumber(protoreflect.FullName, protoreflect.FieldNumber) (protoreflect.ExtensionType, error) {
	return nil, protoregistry.NotFound
}
