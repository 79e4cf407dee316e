package ttrpc

import (
	"errors"
	"fmt"
	"reflect"

	"github.com/containerd/ttrpc/internal/nesting"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/runtime/protoiface"
	"google.golang.org/protobuf/runtime/protoimpl"
)

// The codec encodes and decodes a message by the first of these means that its type has:
//
//	vtprotobuf's methods, if the option is set and the type allows it (codec_vt.go)
//	google.golang.org/protobuf, by ProtoReflect
//	the methods that gogo/protobuf generates with its marshalers
//	the XXX_ methods of gogo and golang/protobuf v1 without marshalers
//	struct tags alone, through protobuf-go's support for such messages
//
// None of them links gogo's runtime into a program that does not use it.

// codec encodes and decodes the messages of a client or server as its options say.
type codec struct {
	vt bool // use vtprotobuf's methods
}

type sizedMarshaler interface {
	Size() int
	MarshalToSizedBuffer([]byte) (int, error)
}

type toMarshaler interface {
	Size() int
	MarshalTo([]byte) (int, error)
}

type xxxMarshaler interface {
	XXX_Size() int
	XXX_Marshal(b []byte, deterministic bool) ([]byte, error)
}

type xxxUnmarshaler interface {
	XXX_Unmarshal([]byte) error
}

type plainMarshaler interface {
	Marshal() ([]byte, error)
}

type plainUnmarshaler interface {
	Unmarshal([]byte) error
}

type resetter interface {
	Reset()
}

// payloadKind is the way in which a message is encoded.
type payloadKind uint8

const (
	payloadAbsent payloadKind = iota // no message; nothing is written
	payloadRaw                       // encoded already, in raw
	payloadVT
	payloadProto
	payloadSized
	payloadTo
	payloadXXX
)

var payloadKindNames = [...]string{"absent", "raw", "VT", "proto", "sized", "to", "XXX"}

func (pk payloadKind) String() string { return payloadKindNames[pk] }

// payload is a message about to be encoded. Its size is known first, so that one buffer
// holds frame header, envelope and message. The message must not change in between.
type payload struct {
	kind payloadKind
	size int
	msg  any
	raw  []byte

	// explicit writes the field of an empty message, so that the server of a stream can
	// tell an empty first message from none. Protobuf, and every release, omits the field
	// of an empty message.
	explicit bool
}

// newPayload measures m.
func (cd codec) newPayload(m any) (p payload, err error) {
	p.msg = m
	switch m := m.(type) {
	case nil:
		return p, errors.New("ttrpc: cannot encode a nil message")
	case proto.Message:
		if vt, ok := m.(vtMarshaler); ok && cd.vt && suitsVT(m) {
			p.kind, p.size = payloadVT, vt.SizeVT()
		} else if isLazy(m) {
			p.kind = payloadRaw
			p.raw, err = marshalLazy(m)
			p.size = len(p.raw)
		} else {
			p.kind, p.size = payloadProto, proto.Size(m)
		}
	case sizedMarshaler:
		p.kind, p.size = payloadSized, m.Size()
	case toMarshaler:
		p.kind, p.size = payloadTo, m.Size()
	case plainMarshaler:
		p.kind = payloadRaw
		p.raw, err = m.Marshal()
		p.size = len(p.raw)
	case xxxMarshaler:
		p.kind, p.size = payloadXXX, m.XXX_Size()
	case protoiface.MessageV1:
		err = useLegacy(m, func(legacy proto.Message) error {
			p.kind, p.size, p.msg = payloadProto, proto.Size(legacy), legacy
			return nil
		})
	default:
		return p, unsupportedMessage(m)
	}
	if err != nil {
		return p, fmt.Errorf("ttrpc: encode %T: %w", m, err)
	}
	return p, nil
}

// rawPayload returns the payload of an encoded message; nil stands for no message.
func rawPayload(b []byte) payload {
	if b == nil {
		return payload{}
	}
	return payload{kind: payloadRaw, size: len(b), raw: b}
}

// append appends the encoded message, of p.size bytes, to b.
func (p *payload) append(b []byte) ([]byte, error) {
	if p.kind == payloadRaw {
		return append(b, p.raw...), nil
	}
	if p.size == 0 && isNil(p.msg) {
		return b, nil // gogo's methods, except Size, panic on a nil message
	}
	start, end := len(b), len(b)+p.size
	if cap(b) < end {
		b = append(make([]byte, 0, end), b...)
	}
	dst := b[start:end:end]
	var n int
	var err error
	switch p.kind {
	case payloadVT:
		n, err = p.msg.(vtMarshaler).MarshalToSizedBufferVT(dst)
	case payloadProto:
		var out []byte
		out, err = proto.MarshalOptions{UseCachedSize: true}.MarshalAppend(dst[:0], p.msg.(proto.Message))
		n = moveInto(dst, out)
	case payloadSized:
		n, err = p.msg.(sizedMarshaler).MarshalToSizedBuffer(dst)
	case payloadTo:
		n, err = p.msg.(toMarshaler).MarshalTo(dst)
	case payloadXXX:
		var out []byte
		out, err = p.msg.(xxxMarshaler).XXX_Marshal(dst[:0], false)
		n = moveInto(dst, out)
	}
	if err != nil {
		return nil, fmt.Errorf("ttrpc: encode %T: %w", p.msg, err)
	}
	if n != p.size {
		return nil, fmt.Errorf("ttrpc: encode %T: the message changed while it was encoded (%d bytes, then %d)", p.msg, p.size, n)
	}
	return b[:end], nil
}

// moveInto copies out, which a method should have appended to dst[:0], into dst if it is
// elsewhere. It returns the length of out.
func moveInto(dst, out []byte) int {
	if len(out) == len(dst) && len(out) > 0 && &out[0] != &dst[0] {
		copy(dst, out)
	}
	return len(out)
}

// bytes encodes the message alone. The result is never nil.
func (p *payload) bytes() ([]byte, error) {
	return p.append(make([]byte, 0, p.size))
}

// sizeField returns the encoded length of the message as a field with a one-byte tag.
func (p *payload) sizeField() int {
	if p.omitted() {
		return 0
	}
	return 1 + protowire.SizeBytes(p.size)
}

// omitted reports whether the field of the message is left out.
func (p *payload) omitted() bool {
	return p.kind == payloadAbsent || p.size == 0 && !p.explicit
}

// appendField appends the message to b as field num.
func (p *payload) appendField(b []byte, num protowire.Number) ([]byte, error) {
	if p.omitted() {
		return b, nil
	}
	b = protowire.AppendTag(b, num, protowire.BytesType)
	b = protowire.AppendVarint(b, uint64(p.size))
	return p.append(b)
}

// unmarshal resets m and decodes b into m. The caller may reuse b afterwards: types with
// decoders of their own, which might keep their input, get a copy of b. unmarshal refuses
// messages that nest too deeply for the stack of their decoder.
func (cd codec) unmarshal(b []byte, m any) error {
	if isNil(m) {
		return fmt.Errorf("ttrpc: cannot decode into a nil message (%T)", m)
	}
	err := nesting.Check(m, b)
	if err != nil {
		return fmt.Errorf("ttrpc: decode %T: %w", m, err)
	}
	switch m := m.(type) {
	case proto.Message:
		if vt, ok := m.(vtUnmarshaler); ok && cd.vt && suitsVT(m) {
			proto.Reset(m)
			err = vt.UnmarshalVT(b)
		} else {
			err = proto.Unmarshal(b, m)
		}
	case plainUnmarshaler:
		reset(m)
		err = m.Unmarshal(append([]byte(nil), b...)) // m may keep the copy
	case xxxUnmarshaler:
		reset(m)
		err = m.XXX_Unmarshal(append([]byte(nil), b...))
	case protoiface.MessageV1:
		err = useLegacy(m, func(legacy proto.Message) error { return proto.Unmarshal(b, legacy) })
	default:
		return unsupportedMessage(m)
	}
	if err != nil {
		return fmt.Errorf("ttrpc: decode %T: %w", m, err)
	}
	return nil
}

func reset(m any) {
	if r, ok := m.(resetter); ok {
		r.Reset()
	}
}

// useLegacy calls f with a wrapper of m, a message that has struct tags but no methods for
// encoding. protobuf-go evaluates the tags lazily and panics if they make no sense.
func useLegacy(m protoiface.MessageV1, f func(proto.Message) error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("not a usable protobuf message: %v", r)
		}
	}()
	return f(protoimpl.X.ProtoMessageV2Of(m))
}

// unsupportedMessage returns the error of a value that is no message. The error suggests
// the pointer type if m is a message by value, and the reverse: both are easy mistakes.
func unsupportedMessage(m any) error {
	t := reflect.TypeOf(m)
	meant := reflect.PointerTo(t)
	if t.Kind() == reflect.Pointer && t.Elem().Kind() == reflect.Pointer {
		meant = t.Elem()
	}
	switch reflect.Zero(meant).Interface().(type) {
	case proto.Message, sizedMarshaler, toMarshaler, plainMarshaler, xxxMarshaler, protoiface.MessageV1:
		return fmt.Errorf("ttrpc: %T is not a protobuf message; did you mean %v?", m, meant)
	}
	return fmt.Errorf("ttrpc: %T is not a protobuf message", m)
}

// isNil reports whether m is nil or a nil pointer.
func isNil(m any) bool {
	if m == nil {
		return true
	}
	v := reflect.ValueOf(m)
	return v.Kind() == reflect.Pointer && v.IsNil()
}
