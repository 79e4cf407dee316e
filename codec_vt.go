package ttrpc

import (
	"reflect"
	"sync"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// This file selects the messages that vtprotobuf's methods may encode and decode.

type vtMarshaler interface {
	SizeVT() int
	MarshalToSizedBufferVT([]byte) (int, error)
}

type vtUnmarshaler interface {
	UnmarshalVT([]byte) error
}

// suitsVT reports whether vtprotobuf's methods treat all messages of m's type as
// protobuf-go does, except for the differences listed at WithServerVTProtobuf. The methods
// lose extensions, refuse groups, and do not limit recursion.
func suitsVT(m proto.Message) bool {
	t := reflect.TypeOf(m)
	if suits, known := vtTypes.Load(t); known {
		return suits.(bool)
	}
	w := vtWalk{open: make(map[protoreflect.FullName]bool)}
	suits := w.suits(m.ProtoReflect().Descriptor())
	vtTypes.Store(t, suits)
	return suits
}

// vtTypes caches the results of suitsVT, bool by reflect.Type.
var vtTypes sync.Map

// vtWalk walks through a message type and the types of its fields.
type vtWalk struct {
	// open is true for a type whose fields are being walked, so that a field of this type
	// is a recursion, and false for a type that has been walked and suits.
	open map[protoreflect.FullName]bool
}

// suits implements suitsVT for a type.
func (vw vtWalk) suits(md protoreflect.MessageDescriptor) bool {
	if open, seen := vw.open[md.FullName()]; seen {
		return !open
	}
	if md.ExtensionRanges().Len() > 0 {
		return false
	}
	vw.open[md.FullName()] = true
	fields := md.Fields()
	for i := 0; i < fields.Len(); i++ {
		fd := fields.Get(i)
		if fd.Kind() == protoreflect.GroupKind || fd.Message() != nil && !vw.suits(fd.Message()) {
			return false
		}
	}
	vw.open[md.FullName()] = false
	return true
}
