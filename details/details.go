// Package details packs messages of any kind into the error of a call, as the details of a
// gRPC status, and unpacks them:
//
//	// in a handler
//	return nil, details.Error(codes.ResourceExhausted, "no room", &api.Quota{Used: 10, Limit: 10})
//
//	// in its client
//	if quota, ok := details.Find[*api.Quota](err); ok {
//		...
//	}
//
// Package google.golang.org/grpc/status does the same for messages of
// google.golang.org/protobuf only. In this package a detail may be
//
//   - a message of google.golang.org/protobuf or of gogo/protobuf. Its type URL is the one
//     that status.WithDetails uses, "type.googleapis.com/" and the name of the message, so
//     that other programs and other languages can read the detail;
//   - a value, sent as JSON, whose type is registered with github.com/containerd/typeurl or
//     with a registry added by Register, such as version 2 of typeurl.
//
// The package is separate because typeurl links the runtime of gogo/protobuf into a
// program, which package ttrpc does not.
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

// urlPrefix and the name of a message make its type URL. The name follows the last slash.
const urlPrefix = "type.googleapis.com/"

// Error returns the error of a status with a code, a message and details. A handler returns
// it. A detail that cannot be packed is left out and the message says so: the code, on
// which clients act, is not affected. Error returns nil for codes.OK.
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

// With returns a copy of st with more details. It fails if st is OK, which is not an error,
// and if a value cannot be packed because it is neither a message whose type is registered
// with its protobuf runtime, nor a pointer to a type that is registered with typeurl or a
// registry added by Register.
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

// Of returns the details of the status in err, wrapped or not, in order. Each one is a
// pointer to a value of a type that this program has registered; Of looks for the type in
// typeurl, gogo/protobuf, the registries added by Register and google.golang.org/protobuf,
// in this order. A detail that none of them can decode is an *anypb.Any. Of returns nil if
// there are no details.
func Of(err error) []any {
	var found []any
	for _, packed := range packedOf(err) {
		found = append(found, unpack(packed))
	}
	return found
}

// Find returns the first detail of err that is a T, such as *api.Quota. It finds a message
// of google.golang.org/protobuf by name, even if another registry has a type of the same
// name, which Of would return.
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
	// typeurl knows its own types by the whole URL, and gogo's messages by the name.
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

// tooDeep reports whether a message has too many levels for the stack of gogo's decoder,
// which does not count them. JSON does not get that far.
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

// unpackAs is unpack for callers that want a value of like's type. unpack prefers a message
// of the same name that gogo knows.
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
