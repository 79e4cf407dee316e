//go:build unix

package ttrpc

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"testing"
)

// frameRead is the result of reading a frame, or an error.
type frameRead struct {
	h         header
	body      []byte
	oversized bool  // the body was discarded
	err       error // final
}

func (f frameRead) String() string {
	return fmt.Sprintf("%v %q oversized=%v err=%v", f.h, f.body, f.oversized, f.err)
}

// splitFrames specifies reading: it returns the frames in b if the peer sends only b.
func splitFrames(b []byte, limit int) (frames []frameRead) {
	for {
		if len(b) == 0 {
			return append(frames, frameRead{err: io.EOF})
		}
		if len(b) < headerLength {
			return append(frames, frameRead{err: io.ErrUnexpectedEOF})
		}
		h := header{
			length: uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3]),
			id:     streamID(b[4])<<24 | streamID(b[5])<<16 | streamID(b[6])<<8 | streamID(b[7]),
			typ:    messageType(b[8]),
			flags:  flags(b[9]),
		}
		b = b[headerLength:]
		switch {
		case h.length >= 1<<24:
			return append(frames, frameRead{h: h, err: ErrProtocol})
		case int(h.length) > len(b):
			return append(frames, frameRead{err: io.ErrUnexpectedEOF})
		case int(h.length) > limit:
			frames = append(frames, frameRead{h: h, oversized: true})
		default:
			frames = append(frames, frameRead{h: h, body: b[:h.length]})
		}
		b = b[h.length:]
	}
}

// chunkConn reads bytes in chunks whose sizes follow a pattern. Size 0 is a read of no
// bytes, which a net.Conn may return.
type chunkConn struct {
	net.Conn
	b       []byte
	pattern []byte
	reads   int
	idle    int // reads of no bytes in a row
}

func (c *chunkConn) Read(p []byte) (int, error) {
	if len(p) < minReadLength && len(p) < len(c.b) {
		return 0, fmt.Errorf("a read into %d bytes, which a multiplexer may refuse", len(p))
	}
	n := len(p)
	if len(c.pattern) > 0 {
		size := int(c.pattern[c.reads%len(c.pattern)])
		if size >= 128 {
			size *= 64
		}
		n = min(n, size)
		c.reads++
		if n > 0 {
			c.idle = 0
		} else if c.idle++; c.idle > 50 || c.reads > len(c.pattern) {
			n = 1 // there is progress some day, before a reader gives up
		}
	}
	n = copy(p[:min(n, len(p))], c.b)
	c.b = c.b[n:]
	if n == 0 && len(c.b) == 0 {
		return 0, io.EOF
	}
	return n, nil
}

func (c *chunkConn) Close() error { return nil }

// checkReads reads all frames of a connection and compares them with want.
func checkReads(t *testing.T, nc net.Conn, limit int, want []frameRead) {
	t.Helper()
	var claimed int
	for _, f := range want {
		claimed = max(claimed, min(int(f.h.length), limit))
	}
	peak := keepLedger(t, func() {
		ch := newChannel(nc, limit, 1<<20, func(error) {})
		defer ch.releaseRead()
		for i, f := range want {
			h, buf, err := ch.readFrame()
			var se *streamError
			got := frameRead{h: h, body: buf.bytes()}
			switch {
			case errors.As(err, &se):
				got = frameRead{h: se.h, oversized: true}
				var tooLong *OversizedMessageErr
				if !errors.As(err, &tooLong) {
					t.Errorf("frame %d: the error of an oversized frame is %v", i, err)
				}
			case errors.Is(err, ErrProtocol):
				got.err = ErrProtocol
			case err != nil:
				got = frameRead{err: err}
			}
			if got.h != f.h || !bytes.Equal(got.body, f.body) || got.oversized != f.oversized || got.err != f.err {
				t.Fatalf("frame %d:\n got %v\nwant %v", i, got, f)
			}
			buf.release()
		}
	})
	// A chunk or two, the frame, and its pool's rounding, for any lengths that the
	// bytes claim.
	if most := 2*(readChunkLength+bufferSlack) + 2*(limit+minReadLength) + bufferSlack; peak > most {
		t.Errorf("reading took %d bytes of buffers at once, want at most %d", peak, most)
	}
}

// FuzzFrameReader reads arbitrary bytes, in chunks of arbitrary sizes, from a
// connection of any kind and from a kernel socket.
func FuzzFrameReader(f *testing.F) {
	frame := func(id streamID, typ messageType, body string) string {
		b := make([]byte, headerLength)
		putHeader(b, header{length: uint32(len(body)), id: id, typ: typ})
		return string(b) + body
	}
	long := string(make([]byte, 5000))
	for _, b := range []string{
		"",
		frame(1, messageTypeRequest, "hello"),
		frame(1, messageTypeRequest, "") + frame(3, messageTypeData, "x") + frame(5, 9, "unknown"),
		frame(1, messageTypeRequest, long) + frame(3, messageTypeData, "x"),
		frame(1, messageTypeRequest, long)[:3000],
		frame(1, messageTypeRequest, "hello")[:7],
		"\x01\x00\x00\x00\x00\x00\x00\x01\x01\x00",
		"\xff\xff\xff\xff\x00\x00\x00\x01\x01\x00" + long,
		"\x00\xff\xff\xff\x00\x00\x00\x01\x01\x00" + long,
	} {
		for _, limit := range []uint16{0, 5, 4096, 60000} {
			f.Add([]byte(b), []byte{}, limit)
			f.Add([]byte(b), []byte{1}, limit)
			f.Add([]byte(b), []byte{0, 9, 200, 3}, limit)
		}
	}
	f.Fuzz(func(t *testing.T, b, pattern []byte, limit uint16) {
		want := splitFrames(b, int(limit))
		checkReads(t, &chunkConn{b: b, pattern: pattern}, int(limit), want)

		near, far := socketPair(t)
		written := make(chan struct{})
		go func() {
			defer close(written)
			for i := 0; len(b) > 0; i++ {
				n := len(b)
				if len(pattern) > 0 {
					n = min(n, max(1, int(pattern[i%len(pattern)]), n/50))
				}
				if _, err := far.Write(b[:n]); err != nil {
					break // the reader has closed because of these bytes
				}
				b = b[n:]
			}
			far.Close()
		}()
		checkReads(t, near, int(limit), want)
		near.Close()
		<-written
	})
}
