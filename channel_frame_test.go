package ttrpc

import "testing"

// frameBuffered reports true only if the next bytes are a header and its whole payload. In
// the middle of a frame the next bytes are not a header.
func TestFrameBuffered(t *testing.T) {
	frame := func(length int) []byte {
		return append(rawHeader(length), make([]byte, length)...)
	}
	for _, test := range []struct {
		name    string
		inBody  bool
		discard int
		read    []byte // and not parsed
		want    bool
	}{
		{"nothing", false, 0, nil, false},
		{"a part of a header", false, 0, frame(0)[:headerLength-1], false},
		{"a header alone", false, 0, frame(0), true},
		{"a header without its payload", false, 0, frame(2)[:headerLength], false},
		{"a part of the payload", false, 0, frame(2)[:headerLength+1], false},
		{"a frame", false, 0, frame(2), true},
		{"more than a frame", false, 0, append(frame(2), 0), true},
		{"a length of 32 bits", false, 0, []byte{0xff, 0xff, 0xff, 0xff, 0, 0, 0, 1, 1, 0, 'x'}, false},
		{"payload that looks like a frame", true, 0, frame(2), false},
		{"discarded bytes that look like a frame", false, 100, frame(2), false},
	} {
		ch := &channel{inBody: test.inBody, discard: test.discard}
		if test.read != nil {
			// Parsed bytes come before.
			ch.chunk, ch.off = &buffer{b: append([]byte("parsed"), test.read...)}, len("parsed")
		}
		if got := ch.frameBuffered(); got != test.want {
			t.Errorf("%s: got %v", test.name, got)
		}
	}
}

// rawHeader returns the header of a response to stream 1.
func rawHeader(length int) []byte {
	b := make([]byte, headerLength)
	putHeader(b, header{length: uint32(length), id: 1, typ: messageTypeResponse})
	return b
}
