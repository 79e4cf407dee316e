package ttrpc

import (
	"reflect"
	"sync"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// This file encodes messages with lazy fields, which protobuf-go decodes at their first
// use (since 1.36, for [lazy = true] and the opaque API). One goroutine may decode such a
// field while another encodes the message, and the size of the message changes if the
// field arrived in an encoding longer than necessary.

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

// lazyTypes caches isLazy: bool by reflect.Type. All messages of package dynamicpb share
// one type, and are never lazy.
var lazyTypes sync.Map

// hasLazy implements isLazy. It skips the types in seen. Extensions, not all of which are
// known, may be lazy or have lazy fields, so every extensible type counts as lazy.
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

// marshalLazy encodes m in one step, without a size taken before. Below the first level,
// protobuf-go itself takes sizes first, and fails if one has changed; the deterministic
// encoding then helps, since it decodes all lazy fields before it takes sizes.
func marshalLazy(m proto.Message) ([]byte, error) {
	if b, err := proto.Marshal(m); err == nil {
		return b, nil
	}
	return proto.MarshalOptions{Deterministic: true}.Marshal(m)
}
