// Package details puts messages of any kind into the error of a call, as the
// details of its gRPC status, and takes them out again:
//
//	// in a handler
//	return nil, details.Error(codes.ResourceExhausted, "no room", &api.Quota{Used: 10, Limit: 10})
//
//	// in its client
//	if quota, ok := details.Find[*api.Quota](err); ok {
//		...
//	}
//
// The methods of package google.golang.org/grpc/status do this for messages of
// google.golang.org/protobuf alone. Here a detail may be one of those, a message
// of gogo/protobuf, or a value whose type is registered with
// github.com/containerd/typeurl, or with another registry that Register names, such
// as version 2 of that, and which then goes as JSON. Protobuf messages of
// both kinds get the type URL that status.WithDetails gives them
// ("type.googleapis.com/" and their name), so that other programs and other
// languages can read them.
//
// It is a package of its own because typeurl brings the runtime of
// gogo/protobuf into a program, which package ttrpc spares those that do not
// use it.
package details

import (
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/containerd/ttrpc/internal/nesting"
	gogo "github.com/gogo/protobuf/proto"
	gogotypes "github.com/gogo/protobuf/types"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
)

// urlPrefix makes a type URL of a message's name, which stands after its last
// slash.
const urlPrefix = "type.googleapis.com/"

// Error returns a status with a code, a message and details, for a handler to
// return. A detail that cannot be packed is left out and the message says so:
// clients act on the code, which stays as it is. With codes.OK it returns nil.
func Error(code codes.Code, message string, details ...any) error {
	st := status.New(code, message)
	for i, detail := range details {
		more, err := With(st, detail)
		if err != nil {
			message += fmt.Sprintf(" (detail %d: %v)", i+1, err)
			continue
		}
		st = more
	}
	p := st.Proto()
	p.Message = message
	return status.ErrorProto(p)
}

// With returns st with details added. It fails for a status that is OK, which
// is not an error, and for a value that cannot be packed: neither a message
// whose type its protobuf runtime knows, nor a pointer to a type that is
// registered with typeurl or a registry that Register has named.
func With(st *status.Status, details ...any) (*status.Status, error) {
	if st.Code() == codes.OK {
		return nil, errors.New("no error details for a status that is OK")
	}
	p := st.Proto()
	for _, detail := range details {
		packed, err := pack(detail)
		if err != nil {
			return nil, fmt.Errorf("cannot pack %T: %w", detail, err)
		}
		p.Details = append(p.Details, packed)
	}
	return status.FromProto(p), nil
}

// Of returns the details of the status in err, wrapped or not, in their order:
// pointers to values of the types that this program has registered, first
// with typeurl, then with gogo/protobuf, then with the registries that Register has
// named, then with google.golang.org/protobuf.
// A detail that none of them can decode is left as an *anypb.Any. Of returns nil when
// there are none.
func Of(err error) []any {
	var found []any
	for _, packed := range packedOf(err) {
		found = append(found, unpack(packed))
	}
	return found
}

// Find returns the first detail of err that is a T, such as *api.Quota. For a
// protobuf message it goes by the name of the message: the registry that
// knows T does not matter, as it does for Of.
func Find[T any](err error) (T, bool) {
	var none T
	for _, packed := range packedOf(err) {
		if m, ok := unpackAs(none, packed).(T); ok {
			return m, true
		}
	}
	return none, false
}

func packedOf(err error) []*anypb.Any {
	st, _ := status.FromError(err)
	return st.Proto().GetDetails()
}

func pack(detail any) (*anypb.Any, error) {
	if v := reflect.ValueOf(detail); v.Kind() != reflect.Pointer || v.IsNil() {
		return nil, errors.New("not a pointer to a value")
	}
	switch m := detail.(type) {
	case *anypb.Any:
		return m, nil
	case *gogotypes.Any:
		return &anypb.Any{TypeUrl: m.TypeUrl, Value: m.Value}, nil
	case proto.Message:
		return anypb.New(m)
	case gogo.Message:
		name := gogo.MessageName(m)
		if name == "" {
			return nil, errors.New("not registered with gogo/protobuf")
		}
		b, err := gogo.Marshal(m)
		return &anypb.Any{TypeUrl: urlPrefix + name, Value: b}, err
	}
	return packRegistered(detail)
}

func unpack(packed *anypb.Any) any {
	// typeurl's own URLs are taken whole; for gogo's messages it wants the
	// name alone.
	for _, url := range []string{packed.TypeUrl, messageName(packed.TypeUrl)} {
		for _, r := range registries() {
			if tooDeep(r, url, packed.Value) {
				continue
			}
			if v, err := r.unpack(url, packed.Value); err == nil {
				return v
			}
		}
	}
	if m, err := packed.UnmarshalNew(); err == nil {
		return m
	}
	return packed
}

// tooDeep reports whether a message has more levels than gogo's decoder, which does
// not count them, has stack for. JSON does not get that far.
func tooDeep(r registry, url string, value []byte) bool {
	if len(value) <= nesting.MaxDepth {
		return false
	}
	like, err := r.unpack(url, nil)
	if t := gogo.MessageType(url); err != nil && t != nil { // a field is required
		like = reflect.New(t.Elem()).Interface()
	}
	return like != nil && nesting.Check(like, value) != nil
}

// unpackAs is unpack for somebody who wants a value of like's type: where gogo
// knows a message of the same name, unpack returns that.
func unpackAs(like any, packed *anypb.Any) any {
	m, ok := like.(proto.Message)
	if ok && string(m.ProtoReflect().Descriptor().FullName()) == messageName(packed.TypeUrl) {
		m = m.ProtoReflect().New().Interface()
		if proto.Unmarshal(packed.Value, m) == nil {
			return m
		}
	}
	return unpack(packed)
}

func messageName(url string) string { return url[strings.LastIndexByte(url, '/')+1:] }
