package details

import (
	"errors"
	"sync/atomic"

	"github.com/containerd/typeurl"
	"google.golang.org/protobuf/types/known/anypb"
)

// A registry packs values of Go types under URLs, and unpacks them.
type registry struct {
	pack   func(v any) (url string, value []byte, err error)
	unpack func(url string, value []byte) (any, error)
}

// registered has all registries in the order of their use. The slice is replaced, never
// changed.
var registered atomic.Pointer[[]registry]

func registries() []registry { return *registered.Load() }

func init() {
	registered.Store(&[]registry{newRegistry(typeurl.MarshalAny, typeurl.UnmarshalByTypeURL)})
}

// Register adds a registry of Go types, which is used after those added before it. marshal
// packs a pointer to a value of a registered type, and unmarshal returns such a pointer.
// Types that are registered with version 2 of typeurl, the only registry of containerd
// since 1.7, can be details after
//
//	import "github.com/containerd/typeurl/v2"
//
//	func init() { details.Register(typeurl.MarshalAny, typeurl.UnmarshalByTypeURL) }
//
// Version 1 needs no such line. Any goroutine may call Register at any time. Several
// goroutines may call marshal and unmarshal at once.
func Register[Any interface {
	GetTypeUrl() string
	GetValue() []byte
}](marshal func(v any) (Any, error), unmarshal func(typeURL string, value []byte) (any, error)) {
	r := newRegistry(marshal, unmarshal)
	for {
		old := registered.Load()
		all := append((*old)[:len(*old):len(*old)], r)
		if registered.CompareAndSwap(old, &all) {
			return
		}
	}
}

func newRegistry[Any interface {
	GetTypeUrl() string
	GetValue() []byte
}](marshal func(any) (Any, error), unmarshal func(string, []byte) (any, error)) registry {
	return registry{unpack: unmarshal, pack: func(v any) (string, []byte, error) {
		m, err := marshal(v)
		if err != nil {
			return "", nil, err
		}
		return m.GetTypeUrl(), m.GetValue(), nil
	}}
}

// packRegistered packs a value with the first registry that knows its type.
func packRegistered(v any) (*anypb.Any, error) {
	var failed []error
	for _, r := range registries() {
		url, value, err := r.pack(v)
		if err == nil {
			return &anypb.Any{TypeUrl: url, Value: value}, nil
		}
		failed = append(failed, err)
	}
	return nil, errors.Join(failed...)
}
