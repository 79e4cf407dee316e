package ttrpc

import (
	"fmt"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
)

// This file encodes and decodes the payload of a metadata frame, which is protobuf:
//
//	message ResponseMetadata {
//	  uint32 id = 1;
//	  uint32 kind = 2; // 0 header, 1 trailer
//	  repeated KeyValue metadata = 3;
//	}

const (
	responseMetadataID    protowire.Number = 1
	responseMetadataKind  protowire.Number = 2
	responseMetadataPairs protowire.Number = 3
)

// metadataKind tells headers from trailers.
type metadataKind uint32

const (
	metadataHeader  metadataKind = 0 // precedes the first message
	metadataTrailer metadataKind = 1 // precedes the final frame
)

func (mk metadataKind) String() string {
	switch mk {
	case metadataHeader:
		return "header"
	case metadataTrailer:
		return "trailer"
	}
	return fmt.Sprintf("kind(%d)", uint32(mk))
}

// metadataFrame returns a frame with metadata of a response. It fails for strings that are
// not UTF-8.
func metadataFrame(id streamID, kind metadataKind, md MD) (*buffer, error) {
	n := 1 + protowire.SizeVarint(uint64(id))
	if kind != metadataHeader {
		n += 1 + protowire.SizeVarint(uint64(kind))
	}
	for key, values := range md {
		for _, value := range values {
			n += 1 + protowire.SizeBytes(sizePair(key, value))
		}
	}
	buf := newExtensionFrame(messageTypeMetadata, 0, n)
	b := protowire.AppendTag(buf.b, responseMetadataID, protowire.VarintType)
	b = protowire.AppendVarint(b, uint64(id))
	if kind != metadataHeader {
		b = protowire.AppendTag(b, responseMetadataKind, protowire.VarintType)
		b = protowire.AppendVarint(b, uint64(kind))
	}
	for key, values := range md {
		for _, value := range values {
			var err error
			if b, err = appendPair(b, responseMetadataPairs, key, value); err != nil {
				buf.release()
				return nil, err
			}
		}
	}
	buf.b = b
	return buf, nil
}

// appendPair adds a field with a pair of metadata to b.
func appendPair(b []byte, num protowire.Number, key, value string) ([]byte, error) {
	if !utf8.ValidString(key) || !utf8.ValidString(value) {
		return nil, fmt.Errorf("ttrpc: encode metadata %q: %w", cut(key, maxNameLength), errInvalidUTF8)
	}
	b = protowire.AppendTag(b, num, protowire.BytesType)
	b = protowire.AppendVarint(b, uint64(sizePair(key, value)))
	b = appendStringField(b, keyValueKey, key)
	return appendStringField(b, keyValueValue, value), nil
}

// responseMetadataView is a metadata frame whose pairs are not decoded yet: its stream may
// be one that the client has given up.
type responseMetadataView struct {
	id    streamID
	kind  metadataKind
	bytes []byte // the whole payload, valid until the frame is released
}

// parseResponseMetadata decodes b except for the pairs.
func parseResponseMetadata(b []byte) (v responseMetadataView, err error) {
	v.bytes = b
	for len(b) > 0 {
		f, err := consumeField(&b)
		if err != nil {
			return v, fmt.Errorf("decode metadata: %w", err)
		}
		switch {
		case f.num == responseMetadataID && f.typ == protowire.VarintType:
			v.id = streamID(f.varint)
		case f.num == responseMetadataKind && f.typ == protowire.VarintType:
			v.kind = metadataKind(f.varint)
		}
	}
	return v, nil
}

// pairs adds the pairs to c, as metadataCollector.parsePair does.
func (rm responseMetadataView) pairs(c *metadataCollector, maxSize int) error {
	for b := rm.bytes; len(b) > 0; {
		f, err := consumeField(&b)
		if err == nil && f.num == responseMetadataPairs && f.typ == protowire.BytesType {
			err = c.parsePair(f.bytes, maxSize)
		}
		if err != nil {
			return fmt.Errorf("decode metadata: %w", err)
		}
	}
	return nil
}
