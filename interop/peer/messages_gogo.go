//go:build gogo

package main

import (
	"context"

	"github.com/gogo/protobuf/types"
	"github.com/golang/protobuf/ptypes/any"
)

// The messages of the peers, in gogo's generation, which v1.1 and earlier take.
type (
	anyMsg    = any.Any
	bytesMsg  = types.BytesValue
	emptyMsg  = types.Empty
	stringMsg = types.StringValue
)

// structTagBytes is bytesMsg as a plain struct with tags: the runtime must
// find the fields by reflection, there are no generated methods to call.
type structTagBytes struct {
	Value []byte `protobuf:"bytes,1,opt,name=value,proto3"`
}

func (m *structTagBytes) Reset()         { *m = structTagBytes{} }
func (m *structTagBytes) String() string { return string(m.Value) }
func (*structTagBytes) ProtoMessage()    {}

func init() {
	cases["struct_tag_messages"] = (*env).structTagMessages
}

func (e *env) structTagMessages() error {
	req := &structTagBytes{Value: payloadRequest(1, 5000, 6000).Value}
	resp := &structTagBytes{}
	if err := e.call(context.Background(), "Payload", req, resp); err != nil {
		return err
	}
	if err := checkPattern(resp.Value, 1, 6000); err != nil {
		return err
	}
	// The same message again, for a response of no bytes.
	req.Value = payloadRequest(2, requestHeader, 0).Value
	if err := e.call(context.Background(), "Payload", req, resp); err != nil {
		return err
	}
	return checkPattern(resp.Value, 2, 0)
}
