package ttrpc

import (
	"reflect"
	"sync"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// This file encodes messages with lazy fields: protobuf-go decodes such a field at its
// first use (since 1.36, for [lazy = true] and the opaque API). One goroutine may decode a
// lazy field while another encodes the message, and the size of the message then changes
// if the field arrived in an encoding longer than necessary.

// isLazy reports whether messages of m's type may have lazy fields, at any level.
func isLazy(m proto.Message) bool {
	t := reflect.TypeOf(m)
	if lazy, known := lazyTypes.Load(t); known {
		return lazy.(bool)
	}
	lazy := hasLazy(m.ProtoReflect().Descriptor(), make(map[protoreflect.FullName]bool))
	lazyTypes.Store(t, lazy)
	return lazy
}

// lazyTypes caches the results of isLazy, bool by reflect.Type. All messages of package
// dynamicpb share one type and are never lazy.
var lazyTypes sync.Map

// hasLazy implements isLazy and skips the types in seen. Extensions may be lazy or have
// lazy fields, and not all of them are known here, so every extensible type counts as lazy.
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

// marshalLazy encodes m in one step, without asking for its size first. Below the first
// level, protobuf-go itself takes sizes first and fails if one of them changes. The
// deterministic encoding then succeeds, since it decodes all lazy fields before it takes
// sizes.
func marshalLazy(m proto.Message) ([]byte, error) {
	if b, err := proto.Marshal(m); err == nil {
		return b, nil
	}
	return proto.MarshalOptions{Deterministic: true}.Marshal(m)
}
