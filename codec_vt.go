package ttrpc

import (
	"reflect"
	"sync"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// This file decides which messages are left to vtprotobuf's methods.

type vtMarshaler interface {
	SizeVT() int
	MarshalToSizedBufferVT([]byte) (int, error)
}

type vtUnmarshaler interface {
	UnmarshalVT([]byte) error
}

// suitsVT reports whether vtprotobuf's methods treat all messages of m's type as
// protobuf-go does, in all but the points that WithServerVTProtobuf names. Those
// methods lose extensions, refuse groups, and put no limit to recursion.
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

var vtTypes sync.Map // of bool by reflect.Type

// vtWalk goes through a message type and those that it consists of.
type vtWalk struct {
	// open has true for a type that contains the one looked at, and false for one
	// that was looked at before and suits.
	open map[protoreflect.FullName]bool
}

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
