//go:build unix

package ttrpc

import (
	"slices"
	"testing"

	"google.golang.org/grpc/codes"
)

// The responses to a long read are flushed part by part, so that the client works on the
// first ones while the server works on. Those to a short read share a write.
func TestRepliesFlushedInParts(t *testing.T) {
	const length = minFlushLength / 4
	for _, test := range []struct {
		name   string
		frames int
		silent int   // how many of them have no response, at the beginning
		writes []int // after as many frames
	}{
		{"one", 1, 0, []int{1}},
		{"a short read", longRead/length - 1, 0, []int{15}},
		{"the shortest long read", longRead / length, 0, []int{4, 8, 12, 16}},
		{"a longer read", 80, 0, []int{10, 20, 30, 40, 50, 60, 70, 80}},
		{"a part after frames without a response", longRead / length, 6, []int{10, 14, 16}},
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
			var writes []int
			written := int64(0)
			note := func(frames int) {
				if now := ch.w.writtenBytes(); now > written {
					writes, written = append(writes, frames), now
				}
			}
			for i := 0; i < test.frames; i++ {
				h, buf, err := ch.readFrame()
				if err != nil {
					t.Fatal(err)
				}
				buf.release()
				note(i)
				if i < test.silent {
					continue
				}
				reply := responseFrame(h.id, newStatus(codes.OK, ""), 1<<20)
				if !ch.w.room.tryTake(len(reply.b)) {
					t.Fatal("no room for a response")
				}
				ch.w.enqueue(reply)
				ch.unflushed = true
			}
			ch.flushReplies() // as before the next read
			note(test.frames)
			if !slices.Equal(writes, test.writes) || ch.unflushed {
				t.Errorf("%d responses were written after %v frames, want %v", test.frames, writes, test.writes)
			}
		})
	}
}
