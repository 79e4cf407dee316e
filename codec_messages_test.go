package ttrpc

import (
	"errors"
	"fmt"

	gogo "github.com/gogo/protobuf/proto"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// This file has messages of all the kinds that generators have made over the years. Each type
// is a generator's KeyValue; the bytes are the same for all.

// tagsOnly is the simplest kind: struct tags, and the three methods of a message.
type tagsOnly struct {
	Key   string `protobuf:"bytes,1,opt,name=key,proto3"`
	Value string `protobuf:"bytes,2,opt,name=value,proto3"`
}

func (m *tagsOnly) Reset()         { *m = tagsOnly{} }
func (m *tagsOnly) String() string { return fmt.Sprintf("%+v", *m) }
func (m *tagsOnly) ProtoMessage()  {}

// golangV1 is a message as golang/protobuf before 1.4, and gogo without marshalers,
// generate it: XXX_ methods do the work through a runtime.
type golangV1 struct {
	Key                  string   `protobuf:"bytes,1,opt,name=key,proto3" json:"key,omitempty"`
	Value                string   `protobuf:"bytes,2,opt,name=value,proto3" json:"value,omitempty"`
	XXX_NoUnkeyedLiteral struct{} `json:"-"`
	XXX_unrecognized     []byte   `json:"-"`
	XXX_sizecache        int32    `json:"-"`
}

var golangV1Info gogo.InternalMessageInfo

func (m *golangV1) Reset()         { *m = golangV1{} }
func (m *golangV1) String() string { return gogo.CompactTextString(m) }
func (m *golangV1) ProtoMessage()  {}

func (m *golangV1) Descriptor() ([]byte, []int) { return nil, []int{0} }

func (m *golangV1) XXX_Unmarshal(b []byte) error { return golangV1Info.Unmarshal(m, b) }
func (m *golangV1) XXX_Marshal(b []byte, deterministic bool) ([]byte, error) {
	return golangV1Info.Marshal(b, m, deterministic)
}
func (m *golangV1) XXX_Size() int { return golangV1Info.Size(m) }

// golangOld is a message as golang/protobuf before 1.1 generated it: tags, a field for
// unknown fields, and a Descriptor.
type golangOld struct {
	Key              string `protobuf:"bytes,1,opt,name=key,proto3" json:"key,omitempty"`
	Value            string `protobuf:"bytes,2,opt,name=value,proto3" json:"value,omitempty"`
	XXX_unrecognized []byte `json:"-"`
}

func (m *golangOld) Reset()                      { *m = golangOld{} }
func (m *golangOld) String() string              { return fmt.Sprintf("%+v", *m) }
func (m *golangOld) ProtoMessage()               {}
func (m *golangOld) Descriptor() ([]byte, []int) { return nil, []int{0} }

// gogoSized is a message of gogo with marshalers, since its 1.3.
type gogoSized struct {
	methodMessage
	used string // the method that encoded last
}

func (m *gogoSized) MarshalToSizedBuffer(b []byte) (int, error) {
	m.used = "MarshalToSizedBuffer"
	enc := m.encode()
	return copy(b[len(b)-len(enc):], enc), nil
}

func (m *gogoSized) Marshal() ([]byte, error) { return m.encode(), nil }

func (m *gogoSized) MarshalTo(b []byte) (int, error) {
	return m.MarshalToSizedBuffer(b[:m.Size()])
}

// gogoTo is a message of earlier gogo with marshalers: MarshalTo writes from the front.
type gogoTo struct {
	methodMessage
	used string
}

func (m *gogoTo) MarshalTo(b []byte) (int, error) {
	m.used = "MarshalTo"
	return copy(b, m.encode()), nil
}

func (m *gogoTo) Marshal() ([]byte, error) { return m.encode(), nil }

// marshalOnly is a handwritten message.
type marshalOnly struct {
	mergingMessage
	used string
}

func (m *marshalOnly) Marshal() ([]byte, error) {
	m.used = "Marshal"
	return m.encode(), nil
}

// vtMessage is a protobuf-go message with the methods of vtprotobuf.
type vtMessage struct {
	*KeyValue
	used string
}

func newVTMessage(key, value string) *vtMessage {
	return &vtMessage{KeyValue: &KeyValue{Key: key, Value: value}}
}

func (m *vtMessage) SizeVT() int { return proto.Size(m.KeyValue) }

func (m *vtMessage) MarshalToSizedBufferVT(b []byte) (int, error) {
	m.used = "MarshalToSizedBufferVT"
	enc, err := proto.Marshal(m.KeyValue)
	return copy(b[len(b)-len(enc):], enc), err
}

// UnmarshalVT merges, as the generated method does.
func (m *vtMessage) UnmarshalVT(b []byte) error {
	m.used = "UnmarshalVT"
	return proto.UnmarshalOptions{Merge: true}.Unmarshal(b, m.KeyValue)
}

// mergingMessage has the methods for decoding, and merges, as generated methods do.
type mergingMessage struct {
	Key, Value string
}

func (m *mergingMessage) Reset()         { *m = mergingMessage{} }
func (m *mergingMessage) String() string { return m.Key + "=" + m.Value }
func (m *mergingMessage) ProtoMessage()  {}

func (m *mergingMessage) encode() []byte {
	b, err := proto.Marshal(&KeyValue{Key: m.Key, Value: m.Value})
	if err != nil {
		panic(err)
	}
	return b
}

func (m *mergingMessage) Unmarshal(b []byte) error {
	var kv KeyValue
	if err := proto.Unmarshal(b, &kv); err != nil {
		return err
	}
	if kv.Key != "" {
		m.Key = kv.Key
	}
	if kv.Value != "" {
		m.Value = kv.Value
	}
	return nil
}

// methodMessage is a message with a method Size.
type methodMessage struct{ mergingMessage }

func (m *methodMessage) Size() int { return len(m.encode()) }

// Messages that fail.

var errMarshal = errors.New("this cannot be encoded")

// failingMessage fails to encode and to decode.
type failingMessage struct{ methodMessage }

func (*failingMessage) MarshalToSizedBuffer([]byte) (int, error) { return 0, errMarshal }
func (*failingMessage) Size() int                                { return 10 }
func (*failingMessage) Unmarshal([]byte) error                   { return errMarshal }

// failingMarshal fails in Marshal, its only method.
type failingMarshal struct{ mergingMessage }

func (*failingMarshal) Marshal() ([]byte, error) { return nil, errMarshal }

// changingMessage encodes to a length other than its Size.
type changingMessage struct {
	methodMessage
	says, is int
}

func (m *changingMessage) Size() int { return m.says }

func (m *changingMessage) MarshalTo(b []byte) (int, error) {
	return copy(b, make([]byte, m.is)), nil
}

// changingXXX does the same with XXX_ methods, which return another slice if that is too
// long.
type changingXXX struct {
	mergingMessage
	says, is int
}

func (m *changingXXX) XXX_Size() int { return m.says }

func (m *changingXXX) XXX_Marshal(b []byte, _ bool) ([]byte, error) {
	return append(b, make([]byte, m.is)...), nil
}

// nonsenseTags is a message only to the compiler: it has a map without the tags of its keys
// and values, and a number tagged as a string.
type nonsenseTags struct {
	Field map[string]int `protobuf:"bytes,1,rep,name=field"`
}

func (m *nonsenseTags) Reset()         { *m = nonsenseTags{} }
func (m *nonsenseTags) String() string { return "" }
func (m *nonsenseTags) ProtoMessage()  {}

type nonsenseKind struct {
	Field int `protobuf:"bytes,1,opt,name=field"`
}

func (m *nonsenseKind) Reset()         { *m = nonsenseKind{} }
func (m *nonsenseKind) String() string { return "" }
func (m *nonsenseKind) ProtoMessage()  {}

// keeper is a custom type that keeps the slice from which it is decoded.
type keeper []byte

func (k *keeper) Unmarshal(b []byte) error { *k = b; return nil }

// generated has the methods of all gogo messages.
type generated struct{}

func (generated) Reset()                      {}
func (generated) String() string              { return "" }
func (generated) ProtoMessage()               {}
func (generated) Descriptor() ([]byte, []int) { return nil, nil }

// withCustom is a message with a custom type, as gogo generates it.
type withCustom struct {
	generated
	ID keeper `protobuf:"bytes,1,opt,name=id,proto3,customtype=keeper"`
}

func (m *withCustom) Size() int { return len(m.field()) }

func (m *withCustom) Marshal() ([]byte, error) { return m.field(), nil }

func (m *withCustom) field() []byte {
	return protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), m.ID)
}

func (m *withCustom) Unmarshal(b []byte) error {
	_, _, n := protowire.ConsumeTag(b)
	v, _ := protowire.ConsumeBytes(b[n:])
	return m.ID.Unmarshal(v)
}

// strictSize has a Size that needs a message.
type strictSize struct{ name string }

func (m *strictSize) Reset()                          {}
func (m *strictSize) String() string                  { return "" }
func (m *strictSize) ProtoMessage()                   {}
func (m *strictSize) Size() int                       { return len(m.name) }
func (m *strictSize) Marshal() ([]byte, error)        { return []byte(m.name), nil }
func (m *strictSize) MarshalTo(b []byte) (int, error) { return copy(b, m.name), nil }
