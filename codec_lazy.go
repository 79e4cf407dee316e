package ttrpc

import (
	"reflect"
	"sync"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// This file encodes messages with fields that protobuf-go decodes as late as it can,
// as it does since 1.36 for [lazy = true] and the opaque API. The first
// goroutine that reads such a field decodes it, also while another encodes the message,
// and its size changes by that if it came in an encoding that is longer than need be.

// isLazy reports whether messages of m's type may have such fields, at any level.
func isLazy(m proto.Message) bool {
	t := reflect.TypeOf(m)
	if lazy, known := lazyTypes.Load(t); known {
		return lazy.(bool)
	}
	lazy := hasLazy(m.ProtoReflect().Descriptor(), make(map[protoreflect.FullName]bool))
	lazyTypes.Store(t, lazy)
	return lazy
}

// lazyTypes has a bool for each reflect.Type of message that was sent. Messages of
// package dynamicpb have one type in common, and are never lazy.
var lazyTypes sync.Map

// hasLazy is isLazy for a type that is not among those seen. An extension may be lazy,
// or have such a field, and not all extensions of a type are known.
func hasLazy(md protoreflect.MessageDescriptor, seen map[protoreflect.FullName]bool) bool {
	if md.ExtensionRanges().Len() > 0 {
		return true
	}
	seen[md.FullName()] = true
	fields := md.Fields()
	for i := 0; i < fields.Len(); i++ {
		fd := fields.Get(i)
		if option, ok := fd.(interface{ IsLazy() bool }); ok && option.IsLazy() {
			return true
		}
		if sub := fd.Message(); sub != nil && !seen[sub.FullName()] && hasLazy(sub, seen) {
			return true
		}
	}
	return false
}

// marshalLazy encodes m in one step. Below the first level protobuf-go itself counts
// first and encodes then. It finds the difference, and decodes all fields before it
// counts if the encoding is to be deterministic.
func marshalLazy(m proto.Message) ([]byte, error) {
	if b, err := proto.Marshal(m); err == nil {
		return b, nil
	}
	return proto.MarshalOptions{Deterministic: true}.Marshal(m)
}
