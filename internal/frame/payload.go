package frame

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"
)

// This file is the payloads of the frames of extensions: PROTOCOL.md, section "Frames of
// extensions". The parse functions report false for a payload that is too short or cannot
// be decoded. They ignore bytes beyond it, which a later version may have added.

// FieldOffer is the field of a Request in which a client offers extensions.
const FieldOffer protowire.Number = 1000

// Features is a set of extensions.
type Features uint64

const (
	FeatureCancel Features = 1 << iota
	FeatureWindows
	FeaturePing
	FeatureMetadata
	FeatureGoaway
)

var featureNames = [...]string{"cancel", "windows", "ping", "metadata", "goaway", "reverse calls", "chunks"}

// String returns the names of the features, with | between them.
func (ft Features) String() string {
	var names []string
	for ; ft != 0; ft &= ft - 1 {
		name := fmt.Sprintf("%#x", uint64(ft&-ft))
		if i := bits.TrailingZeros64(uint64(ft)); i < len(featureNames) {
			name = featureNames[i]
		}
		names = append(names, name)
	}
	return strings.Join(names, "|")
}

// Settings is the message Settings: an offer, and the answer to it.
type Settings struct {
	Version    uint32
	Features   Features
	MaxMessage uint32 // as on the wire; 0 for the default
	Window     uint32 // in bytes; 0 for none
}

// MinLimit is the least maximum of a message that a side may announce, in bytes. A lower
// one counts as this.
const MinLimit = 4096

// Limit returns the longest payload that the side which sent se accepts.
func (se Settings) Limit() int {
	if se.MaxMessage == 0 {
		return DefaultMaxMessage
	}
	return int(min(max(se.MaxMessage, MinLimit), LargestMessage))
}

func (se Settings) fields() [4]uint64 {
	return [...]uint64{uint64(se.Version), uint64(se.Features), uint64(se.MaxMessage), uint64(se.Window)}
}

// Size returns the encoded length in bytes.
func (se Settings) Size() (n int) {
	for _, v := range se.fields() {
		if v != 0 {
			n += 1 + protowire.SizeVarint(v)
		}
	}
	return n
}

// Append adds the encoding of se to b.
func (se Settings) Append(b []byte) []byte {
	for i, v := range se.fields() {
		if v != 0 {
			b = protowire.AppendTag(b, protowire.Number(1+i), protowire.VarintType)
			b = protowire.AppendVarint(b, v)
		}
	}
	return b
}

// ParseSettings decodes b. Settings without a version count as none.
func ParseSettings(b []byte) (se Settings, ok bool) {
	ok = eachField(b, func(f field) bool {
		switch {
		case f.isVarint(1):
			se.Version = uint32(f.varint)
		case f.isVarint(2):
			se.Features = Features(f.varint)
		case f.isVarint(3):
			se.MaxMessage = uint32(f.varint)
		case f.isVarint(4):
			se.Window = uint32(f.varint)
		}
		return true
	})
	if !ok || se.Version == 0 {
		return Settings{}, false
	}
	return se, true
}

// Offer returns the settings that a client offers in the fields of a Request which
// protobuf does not know.
func Offer(unknown []byte) (se Settings, ok bool) {
	var offer []byte
	eachField(unknown, func(f field) bool {
		if f.isBytes(FieldOffer) {
			offer = f.bytes
		}
		return true
	})
	return ParseSettings(offer)
}

// A Cancel is the payload of a cancel frame: the client has given up on a stream.
type Cancel struct{ ID, Code uint32 }

// ParseCancel decodes b.
func ParseCancel(b []byte) (c Cancel, ok bool) {
	if len(b) < 8 {
		return c, false
	}
	return Cancel{ID: binary.BigEndian.Uint32(b), Code: binary.BigEndian.Uint32(b[4:])}, true
}

// A Window is the payload of a window frame: the sender of data on a stream may go on
// while it has sent less than Limit.
type Window struct {
	ID    uint32
	Limit uint64
}

// ParseWindow decodes b.
func ParseWindow(b []byte) (w Window, ok bool) {
	if len(b) < 12 {
		return w, false
	}
	return Window{ID: binary.BigEndian.Uint32(b), Limit: binary.BigEndian.Uint64(b[4:])}, true
}

// PingLength is the length of the payload of a ping and a pong.
const PingLength = 8

// ParsePing decodes the payload of a ping or a pong.
func ParsePing(b []byte) (number uint64, ok bool) {
	if len(b) < PingLength {
		return 0, false
	}
	return binary.BigEndian.Uint64(b), true
}

// A Goaway is the payload of a goaway frame: the server takes no new calls.
type Goaway struct {
	LastID, Code uint32
	Text         string
}

// MaxGoawayText is the longest text of a goaway frame; a longer one is cut.
const MaxGoawayText = 1024

// ParseGoaway decodes b. The text may be no UTF-8.
func ParseGoaway(b []byte) (g Goaway, ok bool) {
	if len(b) < 8 {
		return g, false
	}
	return Goaway{
		LastID: binary.BigEndian.Uint32(b),
		Code:   binary.BigEndian.Uint32(b[4:]),
		Text:   string(b[8:min(len(b), 8+MaxGoawayText)]),
	}, true
}

// Metadata is the payload of a metadata frame.
type Metadata struct {
	ID, Kind uint32 // the kind is 0 for a header, 1 for a trailer
	Pairs    []Pair
}

// A Pair is one pair of metadata.
type Pair struct{ Key, Value string }

// ParseMetadata decodes b. It does not limit the size of the metadata.
func ParseMetadata(b []byte) (m Metadata, ok bool) {
	ok = eachField(b, func(f field) bool {
		switch {
		case f.isVarint(1):
			m.ID = uint32(f.varint)
		case f.isVarint(2):
			m.Kind = uint32(f.varint)
		case f.isBytes(3):
			p, ok := parsePair(f.bytes)
			m.Pairs = append(m.Pairs, p)
			return ok
		}
		return true
	})
	return m, ok
}

func parsePair(b []byte) (p Pair, ok bool) {
	ok = eachField(b, func(f field) bool {
		switch {
		case f.isBytes(1):
			p.Key = string(f.bytes)
		case f.isBytes(2):
			p.Value = string(f.bytes)
		}
		return true
	})
	return p, ok
}

// A field is one of a message, with the value of its wire type. A field that has the number
// of another and not its type is unknown, as for protobuf.
type field struct {
	num    protowire.Number
	typ    protowire.Type
	varint uint64
	bytes  []byte
}

func (f field) isVarint(num protowire.Number) bool {
	return f.num == num && f.typ == protowire.VarintType
}

func (f field) isBytes(num protowire.Number) bool {
	return f.num == num && f.typ == protowire.BytesType
}

// eachField calls use for each field of b until use returns false. It reports whether use
// took all of them and b is a message.
func eachField(b []byte, use func(field) bool) bool {
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 || num > protowire.MaxValidNumber {
			return false
		}
		b = b[n:]
		f := field{num: num, typ: typ}
		switch typ {
		case protowire.VarintType:
			f.varint, n = protowire.ConsumeVarint(b)
		case protowire.BytesType:
			f.bytes, n = protowire.ConsumeBytes(b)
		default:
			n = protowire.ConsumeFieldValue(num, typ, b)
		}
		if n < 0 || !use(f) {
			return false
		}
		b = b[n:]
	}
	return true
}
