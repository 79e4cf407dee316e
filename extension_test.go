package ttrpc

import (
	"math"
	"testing"

	"google.golang.org/grpc/codes"
)

// The bytes of each frame, as PROTOCOL.md has them.
func TestExtensionFrames(t *testing.T) {
	metadata, err := metadataFrame(0x01020304, metadataTrailer, MD{"k": {"v"}})
	if err != nil {
		t.Fatal(err)
	}
	s := settings{version: 1, features: featureCancel | featureWindows, maxMessage: 4 << 20, window: 2 << 20}
	for _, test := range []struct {
		name  string
		frame *buffer
		want  string
	}{
		{"settings", settingsFrame(s), "\x00\x00\x00\x0e\x00\x00\x00\x00\x70\x00" + "\x08\x01\x10\x03\x18\x80\x80\x80\x02\x20\x80\x80\x80\x01"},
		{"ack", ackFrame(), "\x00\x00\x00\x00\x00\x00\x00\x00\x70\x01"},
		{"cancel", cancellation{0x01020304, codes.DeadlineExceeded}.frame(), "\x00\x00\x00\x08\x00\x00\x00\x00\x71\x00" + "\x01\x02\x03\x04\x00\x00\x00\x04"},
		{"window", windowUpdate{0x01020304, 0x05060708090a0b0c}.frame(), "\x00\x00\x00\x0c\x00\x00\x00\x00\x72\x00" + "\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c"},
		{"ping", pingData(0x0102030405060708).frame(messageTypePing), "\x00\x00\x00\x08\x00\x00\x00\x00\x73\x00" + "\x01\x02\x03\x04\x05\x06\x07\x08"},
		{"pong", pingData(0x0102030405060708).frame(messageTypePong), "\x00\x00\x00\x08\x00\x00\x00\x00\x74\x00" + "\x01\x02\x03\x04\x05\x06\x07\x08"},
		{"goaway", goaway{0x01020304, codes.Unavailable, "bye"}.frame(), "\x00\x00\x00\x0b\x00\x00\x00\x00\x75\x00" + "\x01\x02\x03\x04\x00\x00\x00\x0ebye"},
		{"metadata", metadata, "\x00\x00\x00\x0f\x00\x00\x00\x00\x76\x00" + "\x08\x84\x86\x88\x08\x10\x01\x1a\x06\x0a\x01k\x12\x01v"},
	} {
		if got := string(test.frame.b); got != test.want {
			t.Errorf("%s: got %q, want %q", test.name, got, test.want)
		}
		test.frame.release()
	}
	if got, want := string(s.offer()), "\xc2\x3e\x0e\x08\x01\x10\x03\x18\x80\x80\x80\x02\x20\x80\x80\x80\x01"; got != want {
		t.Errorf("the offer: got %q, want %q", got, want)
	}
}

func TestSettingsMessageLimit(t *testing.T) {
	for _, test := range []struct {
		announced uint32
		want      int
	}{
		{0, 4 << 20}, {1, 4096}, {4096, 4096}, {4097, 4097}, {1<<24 - 1, 1<<24 - 1}, {1 << 24, 1<<24 - 1}, {math.MaxUint32, 1<<24 - 1},
	} {
		if got := (settings{maxMessage: test.announced}).messageLimit(); got != test.want {
			t.Errorf("a maximum of %d counts as %d, want %d", test.announced, got, test.want)
		}
	}
}

func TestExtensionTypes(t *testing.T) {
	for typ, want := range map[messageType]string{
		messageTypeSettings: "settings", messageTypeCancel: "cancel", messageTypeWindow: "window", messageTypePing: "ping",
		messageTypePong: "pong", messageTypeGoaway: "goaway", messageTypeMetadata: "metadata",
		0x77: "type(119)", 0x7f: "type(127)", 0x6f: "type(111)", 0x80: "type(128)", 0: "type(0)",
	} {
		if got := typ.String(); got != want {
			t.Errorf("type %#x is %q, want %q", uint8(typ), got, want)
		}
		inRange := typ >= 0x70 && typ <= 0x7f
		if got := (header{typ: typ}).isExtension(); got != inRange {
			t.Errorf("%v on id 0 is an extension: %v", typ, got)
		}
		if (header{typ: typ, id: 2}).isExtension() {
			t.Errorf("%v on id 2 is an extension", typ)
		}
	}
	if got, want := (featureCancel | featureChunks | 1<<20).String(), "cancel|chunks|0x100000"; got != want {
		t.Errorf("features are %q, want %q", got, want)
	}
}
