package ttrpc

import (
	"context"
	"strings"
	"testing"

	gogo "github.com/gogo/protobuf/proto"
	gogotypes "github.com/gogo/protobuf/types"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
)

// encodedMessage is a message that is already encoded.
type encodedMessage []byte

func (m encodedMessage) Marshal() ([]byte, error) { return m, nil }

// deepValue returns as many nested lists as a frame has room for.
func deepValue() (b encodedMessage) {
	for len(b) < 4<<20-1000 { // back to front
		for _, num := range []protowire.Number{1, 6} {
			tag := protowire.AppendVarint(protowire.AppendTag(nil, num, protowire.BytesType), uint64(len(b)))
			for i := len(tag) - 1; i >= 0; i-- {
				b = append(b, tag[i])
			}
		}
	}
	for i, j := 0, len(b)-1; i < j; i, j = i+1, j-1 {
		b[i], b[j] = b[j], b[i]
	}
	return b
}

// xxxNode is a gogo message without generated marshalers.
type xxxNode struct {
	Child    *xxxNode   `protobuf:"bytes,1,opt,name=child,proto3"`
	Children []*xxxNode `protobuf:"bytes,6,rep,name=children,proto3"`
}

func (m *xxxNode) Reset()         { *m = xxxNode{} }
func (m *xxxNode) String() string { return "" }
func (m *xxxNode) ProtoMessage()  {}

var xxxNodeInfo gogo.InternalMessageInfo

func (m *xxxNode) XXX_Unmarshal(b []byte) error { return xxxNodeInfo.Unmarshal(m, b) }

// A peer that sends deeply nested messages does not end the process: the decoders of gogo's
// messages are recursive, and their stack is limited.
func TestDeepMessage(t *testing.T) {
	deep := deepValue()
	for _, fresh := range []func() any{
		func() any { return new(gogotypes.Value) },
		func() any { return new(xxxNode) },
	} {
		_, addr := newTestServer(t, &ServiceDesc{
			Methods: map[string]Method{
				"Decode": func(_ context.Context, um func(any) error) (any, error) {
					return &KeyValue{}, um(fresh())
				},
				"Deep": func(_ context.Context, um func(any) error) (any, error) {
					return deep, um(&KeyValue{})
				},
			},
			Streams: map[string]Stream{"Stream": {StreamingClient: true, StreamingServer: true,
				Handler: func(_ context.Context, s StreamServer) (any, error) {
					return nil, s.RecvMsg(fresh())
				}}},
		})
		c := dialTest(t, addr)
		refused := func(kind string, err error, want codes.Code) {
			t.Helper()
			if status.Code(err) != want || !strings.Contains(err.Error(), "nested deeper than 10000 levels") {
				t.Errorf("%s into %T: got %v", kind, fresh(), err)
			}
		}
		refused("a request", c.Call(testContext(t), testService, "Decode", deep, &KeyValue{}), codes.InvalidArgument)
		refused("a response", c.Call(testContext(t), testService, "Deep", &KeyValue{}, fresh()), codes.Unknown)
		cs, err := c.NewStream(testContext(t), &StreamDesc{StreamingClient: true, StreamingServer: true}, testService, "Stream", nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := cs.SendMsg(deep); err != nil {
			t.Fatal(err)
		}
		refused("a stream's message", cs.RecvMsg(&KeyValue{}), codes.InvalidArgument)
		if err := c.Call(testContext(t), testService, "Decode", &KeyValue{}, &KeyValue{}); err != nil {
			t.Errorf("the next call: %v", err)
		}
	}
}
