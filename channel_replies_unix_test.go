//go:build unix

package ttrpc

import (
	"testing"

	"google.golang.org/grpc/codes"
)

// The responses to a long read are flushed part by part, so that the client works on the
// first ones while the server works on. Those to a short read share a write.
func TestRepliesFlushedInParts(t *testing.T) {
	const length = 160
	for _, test := range []struct {
		name           string
		frames, writes int
	}{
		{"one", 1, 1},
		{"a short read", longRead/length - 1, 1},
		{"a read of 16 requests", 16, 4},
		{"a read of 128 requests", 128, flushesPerRead},
	} {
		t.Run(test.name, func(t *testing.T) {
			ours, theirs := socketPair(t)
			ch := newChannel(ours, 1<<20, 1<<20, func(error) {})
			defer ch.releaseRead()
			requests := make([]byte, test.frames*length)
			for b := requests; len(b) > 0; b = b[length:] {
				putHeader(b, header{length: length - headerLength, id: 1, typ: messageTypeRequest})
			}
			if _, err := theirs.Write(requests); err != nil {
				t.Fatal(err)
			}
			writes, written := 0, int64(0)
			note := func() {
				if now := ch.w.writtenBytes(); now > written {
					writes, written = writes+1, now
				}
			}
			for i := 0; i < test.frames; i++ {
				h, buf, err := ch.readFrame()
				if err != nil {
					t.Fatal(err)
				}
				buf.release()
				note()
				reply := responseFrame(h.id, newStatus(codes.OK, ""), 1<<20)
				if !ch.w.room.tryTake(len(reply.b)) {
					t.Fatal("no room for a response")
				}
				ch.w.enqueue(reply)
				ch.unflushed = true
			}
			ch.flushReplies() // as before the next read
			note()
			if writes != test.writes {
				t.Errorf("%d responses went in %d writes, want %d", test.frames, writes, test.writes)
			}
			if ch.w.claim() {
				t.Error("a response is not written")
			}
		})
	}
}
