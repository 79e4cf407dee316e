// Package message reads and writes messages as JSON, as text and as bytes.
package message

import (
	"bytes"
	"encoding/json"
	"fmt"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/dynamicpb"
)

// Types finds the types of messages in google.protobuf.Any, and of extensions.
type Types interface {
	protoregistry.MessageTypeResolver
	protoregistry.ExtensionTypeResolver
}

// Format is how a message is written: "json", "text" or "binary".
type Format string

const (
	JSON   Format = "json"
	Text   Format = "text"
	Binary Format = "binary"
)

// Check returns an error unless f is one of the formats.
func (f Format) Check() error {
	switch f {
	case JSON, Text, Binary:
		return nil
	}
	return fmt.Errorf("the format %q is none of json, text and binary", f)
}

// Codec reads and writes the messages of a call.
type Codec struct {
	Format   Format
	Types    Types
	Defaults bool // JSON has the fields that are not set as well
}

// Decode reads one message of that type. Its error names the field.
func (c Codec) Decode(b []byte, md protoreflect.MessageDescriptor) (proto.Message, error) {
	m := dynamicpb.NewMessage(md)
	switch c.Format {
	case Text:
		return m, prototext.UnmarshalOptions{Resolver: c.Types}.Unmarshal(b, m)
	case Binary:
		return m, proto.UnmarshalOptions{Resolver: c.Types}.Unmarshal(b, m)
	}
	if len(bytes.TrimSpace(b)) == 0 {
		b = []byte("{}")
	}
	options := protojson.UnmarshalOptions{Resolver: lenient{c.Types}}
	if err := options.Unmarshal(b, m); err != nil {
		return nil, explain(b, md, options, err)
	}
	unwrapAnys(m, c.Types)
	return m, nil
}

// Encode writes a message in one line, or in several for people; without the end of the
// last line. Binary is the bytes.
func (c Codec) Encode(m proto.Message, oneLine bool) ([]byte, error) {
	switch c.Format {
	case Text:
		b, err := prototext.MarshalOptions{Multiline: !oneLine, Resolver: c.Types, EmitUnknown: true}.Marshal(m)
		return bytes.TrimSuffix(b, []byte("\n")), err
	case Binary:
		return proto.Marshal(m)
	}
	m = proto.Clone(m)
	wrapAnys(m, c.Types)
	b, err := protojson.MarshalOptions{Resolver: lenient{c.Types}, AllowPartial: true, EmitDefaultValues: c.Defaults}.Marshal(m)
	if err != nil {
		return nil, err
	}
	// The spaces of protojson differ from one build to the next.
	var out bytes.Buffer
	if oneLine {
		err = json.Compact(&out, b)
	} else {
		err = json.Indent(&out, b, "", "  ")
	}
	return out.Bytes(), err
}
