package ttrpc

import (
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"
)

// A message that may have lazy fields is measured by its encoding.
func TestLazyPayload(t *testing.T) {
	m := &descriptorpb.FieldOptions{Deprecated: proto.Bool(true)}
	if !isLazy(m) {
		t.Fatal("an extensible message does not count as lazy")
	}
	p, err := codec{}.newPayload(m)
	if err != nil || p.size == 0 || p.size != proto.Size(m) {
		t.Errorf("size %d, %v, want %d", p.size, err, proto.Size(m))
	}
}

// A message that cannot be encoded deterministically either is an error.
func TestLazyPayloadFails(t *testing.T) {
	m := &descriptorpb.FieldOptions{UninterpretedOption: []*descriptorpb.UninterpretedOption{
		{Name: []*descriptorpb.UninterpretedOption_NamePart{{}}}, // without its required fields
	}}
	if b, err := marshalLazy(m); err == nil {
		t.Errorf("got %q", b)
	}
	if _, err := (codec{}).newPayload(m); err == nil {
		t.Error("newPayload: no error")
	}
}
