package frame

import (
	"bytes"
	"testing"
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
