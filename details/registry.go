package details

import (
	"errors"
	"sync/atomic"

	"github.com/containerd/typeurl"
	"google.golang.org/protobuf/types/known/anypb"
)

// A registry knows Go types by the URLs that stand for them.
type registry struct {
	pack   func(v any) (url string, value []byte, err error)
	unpack func(url string, value []byte) (any, error)
}

// registered has all registries, in the order in which they are asked. The slice is
// replaced, never changed.
var registered atomic.Pointer[[]registry]

func registries() []registry { return *registered.Load() }

func init() {
	registered.Store(&[]registry{newRegistry(typeurl.MarshalAny, typeurl.UnmarshalByTypeURL)})
}

// Register names one more registry of Go types, which is asked after those named
// before it: marshal packs a pointer to a value of a type that it knows, and unmarshal
// returns one. Types that are registered with version 2 of typeurl, which is the only
// registry of containerd since 1.7, become details by
//
//	import "github.com/containerd/typeurl/v2"
//
//	func init() { details.Register(typeurl.MarshalAny, typeurl.UnmarshalByTypeURL) }
//
// Version 1 needs no such line. Register may be called at any time, from any
// goroutine; both functions are called from several at once.
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

// packRegistered packs a value of a type that some registry knows.
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
