package ttrpc

import (
	"testing"

	gogotypes "github.com/gogo/protobuf/types"
)

// An Unmarshal that somebody wrote by hand may keep its input, and the other methods of
// the message say nothing about that: methods are promoted, too.
func TestHandWrittenUnmarshal(t *testing.T) {
	raw := mustMarshal(&KeyValue{Key: "k", Value: "value"})
	want := string(raw)
	embedding, byHand, xxx := &keepingEmbedder{}, &keepingGenerated{}, &keepingXXX{}
	for _, m := range []any{embedding, byHand, xxx} {
		if err := noOptions.unmarshal(raw, m); err != nil {
			t.Fatal(err)
		}
	}
	for i := range raw {
		raw[i] = 'X'
	}
	for m, got := range map[any][]byte{embedding: embedding.kept, byHand: byHand.kept, xxx: xxx.kept} {
		if string(got) != want {
			t.Errorf("%T: kept %q, want %q", m, got, want)
		}
	}
}

// keepingEmbedder has the Descriptor of a generated message.
type keepingEmbedder struct {
	gogotypes.Mixin
	kept []byte
}

func (m *keepingEmbedder) Unmarshal(b []byte) error { m.kept = b; return nil }

// keepingGenerated is generated with gogoproto.unmarshaler=false.
type keepingGenerated struct {
	generated
	kept []byte
}

func (m *keepingGenerated) Unmarshal(b []byte) error { m.kept = b; return nil }

type keepingXXX struct {
	generated
	kept []byte
}

func (m *keepingXXX) XXX_Unmarshal(b []byte) error { m.kept = b; return nil }

// A message keeps no reference to the bytes that it was decoded from, as those are
// overwritten by the next.
func TestDecodedMessageIsOwn(t *testing.T) {
	keeping := &keepingMessage{}
	raw := mustMarshal(&KeyValue{Key: "k", Value: "value"})
	kv, mixin, any := &KeyValue{}, &gogotypes.Mixin{}, &gogotypes.Any{}
	for _, m := range []interface{}{keeping, kv, mixin, any} {
		if err := noOptions.unmarshal(raw, m); err != nil {
			t.Fatal(err)
		}
	}
	for i := range raw {
		raw[i] = 'X'
	}
	if string(keeping.b) != string(mustMarshal(&KeyValue{Key: "k", Value: "value"})) {
		t.Errorf("a message that keeps its bytes has %q", keeping.b)
	}
	if kv.Value != "value" || mixin.Root != "value" || string(any.Value) != "value" {
		t.Errorf("got %v, %v, %v", kv, mixin, any)
	}
}

// keepingMessage keeps the bytes that it is decoded from.
type keepingMessage struct{ b []byte }

func (m *keepingMessage) Marshal() ([]byte, error) { return m.b, nil }
func (m *keepingMessage) Unmarshal(b []byte) error { m.b = b; return nil }
