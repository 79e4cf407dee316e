package ttrpc

import (
	"errors"
	"runtime"
	"testing"

	"google.golang.org/grpc/codes"
)

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

// Lengths up to the largest that the field holds do not allocate, panic, or get
// the reader out of step, on 32-bit systems either.
func TestHugeLengths(t *testing.T) {
	_, addr := newTestServer(t, echoMethods(), WithServerLogger(newLogRecorder()))
	for _, length := range []uint32{1 << 24, 1<<31 - 1, 1 << 31, 1<<32 - 1} {
		// The first byte of a header is zero: anything else is no frame.
		w := dialWire(t, addr)
		w.write(header{length: length, id: 1, typ: messageTypeRequest}, nil)
		if f, err := w.tryRead(); err == nil {
			t.Errorf("length %d: got %v, want the end", length, f.header)
		}
		c, cw := wireClient(t)
		call := goErr(func() error { return c.Call(testContext(t), testService, "Echo", &KeyValue{}, &KeyValue{}) })
		cw.readRequest()
		cw.write(header{length: length, id: 1, typ: messageTypeResponse}, nil)
		if err := within(t, "Call", call); !errors.Is(err, ErrClosed) || !errors.Is(err, ErrProtocol) {
			t.Errorf("length %d: the client's call returned %v", length, err)
		}
	}

	// The longest one that is a frame is discarded as it comes.
	w := dialWire(t, addr)
	const length = 1<<24 - 1
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	sent := goErr(func() error {
		w.write(header{length: length, id: 1, typ: messageTypeRequest}, nil)
		chunk := make([]byte, 64<<10)
		for left := length; left > 0; left -= len(chunk) {
			chunk = chunk[:min(left, len(chunk))]
			if _, err := w.Write(chunk); err != nil {
				return err
			}
		}
		return nil
	})
	if _, resp := w.readResponse(); codes.Code(resp.Status.GetCode()) != codes.ResourceExhausted {
		t.Errorf("got %v, want ResourceExhausted", resp)
	}
	if err := within(t, "write", sent); err != nil {
		t.Error(err)
	}
	runtime.ReadMemStats(&after)
	// A sync.Pool drops some of its buffers under the race detector.
	if n := after.TotalAlloc - before.TotalAlloc; n > length/2 {
		t.Errorf("%d bytes were allocated to discard %d", n, length)
	}
}
