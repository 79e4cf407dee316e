package frame

import (
	"bytes"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
)

// The bytes of a header, as PROTOCOL.md has them, in both directions.
func TestHeader(t *testing.T) {
	h := Header{Length: 0x00010203, ID: 0x04050607, Type: TypeData, Flags: FlagRemoteClosed | FlagNoData}
	want := []byte{0, 1, 2, 3, 4, 5, 6, 7, 3, 5}
	got := make([]byte, HeaderLength)
	h.Put(got)
	if !bytes.Equal(got, want) {
		t.Errorf("%+v is %x, want %x", h, got, want)
	}
	if parsed := Parse(want); parsed != h {
		t.Errorf("%x is %+v, want %+v", want, parsed, h)
	}
	PutID(got, 0x0a0b0c0d)
	if parsed := Parse(got); parsed.ID != 0x0a0b0c0d || parsed.Length != h.Length || parsed.Type != h.Type {
		t.Errorf("with another id the header is %+v", parsed)
	}
}

func FuzzHeader(f *testing.F) {
	f.Add([]byte("0123456789"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) < HeaderLength {
			return
		}
		got := make([]byte, HeaderLength)
		Parse(b).Put(got)
		if !bytes.Equal(got, b[:HeaderLength]) {
			t.Errorf("%x is encoded as %x", b[:HeaderLength], got)
		}
	})
}

func TestTypes(t *testing.T) {
	for typ, want := range map[Type]string{
		TypeRequest: "request", TypeResponse: "response", TypeData: "data", TypeSettings: "settings", TypeMetadata: "metadata",
		TypeLastExtension: "type(127)", 0x6f: "type(111)", 0: "type(0)",
	} {
		if got := typ.String(); got != want {
			t.Errorf("type %#x is %q, want %q", uint8(typ), got, want)
		}
		inRange := typ >= 0x70 && typ <= 0x7f
		if got := (Header{Type: typ}).IsExtension(); got != inRange {
			t.Errorf("%v on id 0 is an extension: %v", typ, got)
		}
		if (Header{Type: typ, ID: 2}).IsExtension() {
			t.Errorf("%v on id 2 is an extension", typ)
		}
	}
}

// Each payload that is too short counts as none, and bytes after it are ignored.
func TestPayloadLengths(t *testing.T) {
	for name, test := range map[string]struct {
		length int
		parse  func(b []byte) bool
	}{
		"cancel": {8, func(b []byte) bool { c, ok := ParseCancel(b); return ok && c == Cancel{0x01020304, 0x05060708} }},
		"window": {12, func(b []byte) bool { w, ok := ParseWindow(b); return ok && w == Window{0x01020304, 0x05060708090a0b0c} }},
		"ping":   {8, func(b []byte) bool { n, ok := ParsePing(b); return ok && n == 0x0102030405060708 }},
		"goaway": {8, func(b []byte) bool {
			g, ok := ParseGoaway(b)
			return ok && g == Goaway{0x01020304, 0x05060708, string(b[8:])}
		}},
	} {
		b := []byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13}
		for n := 0; n < len(b); n++ {
			if got := test.parse(b[:n]); got != (n >= test.length) {
				t.Errorf("%s of %d bytes: %v", name, n, got)
			}
		}
	}
}

func TestMetadata(t *testing.T) {
	m, ok := ParseMetadata([]byte("\x08\x05\x10\x01\x1a\x06\x0a\x01k\x12\x01v"))
	if !ok || m.ID != 5 || m.Kind != 1 || len(m.Pairs) != 1 || m.Pairs[0] != (Pair{"k", "v"}) {
		t.Errorf("got %+v, %v", m, ok)
	}
	for _, b := range []string{"\x08", "\x1a\x02\x0a\x05", "\xff"} {
		if m, ok := ParseMetadata([]byte(b)); ok {
			t.Errorf("%q is %+v", b, m)
		}
	}
}

func TestOffer(t *testing.T) {
	want := Settings{Version: 1, Features: FeaturePing, MaxMessage: 5000}
	b := protowire.AppendTag([]byte("\x30\x01"), FieldOffer, protowire.BytesType)
	b = protowire.AppendBytes(b, want.Append(nil))
	if got, ok := Offer(b); !ok || got != want || got.Limit() != 5000 {
		t.Errorf("got %+v, %v", got, ok)
	}
	if got, ok := Offer([]byte("\x30\x01")); ok {
		t.Errorf("nothing is %+v", got)
	}
}

// A field of another wire type than its number says is unknown: it changes nothing.
func TestFieldTypes(t *testing.T) {
	want := Settings{Version: 1, Features: 2, MaxMessage: 3, Window: 4}
	b := want.Append(nil)
	for num := protowire.Number(1); num <= 4; num++ {
		b = protowire.AppendString(protowire.AppendTag(b, num, protowire.BytesType), "x")
		b = protowire.AppendFixed32(protowire.AppendTag(b, num, protowire.Fixed32Type), 5)
	}
	if got, ok := ParseSettings(b); !ok || got != want {
		t.Errorf("settings: got %+v, %v; want %+v", got, ok, want)
	}
	offer := protowire.AppendBytes(protowire.AppendTag(nil, FieldOffer, protowire.BytesType), b)
	offer = protowire.AppendVarint(protowire.AppendTag(offer, FieldOffer, protowire.VarintType), 5)
	if got, ok := Offer(offer); !ok || got != want {
		t.Errorf("offer: got %+v, %v; want %+v", got, ok, want)
	}
	const md = "\x08\x05\x10\x01\x1a\x0a\x0a\x01k\x12\x01v\x08\x02\x10\x02" +
		"\x0a\x00\x12\x00\x18\x01" // fields 1 to 3 again, of other types
	if m, ok := ParseMetadata([]byte(md)); !ok || m.ID != 5 || m.Kind != 1 || len(m.Pairs) != 1 || m.Pairs[0] != (Pair{"k", "v"}) {
		t.Errorf("metadata: got %+v, %v", m, ok)
	}
}
