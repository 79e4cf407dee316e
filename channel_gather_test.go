package ttrpc

import "testing"

// Small frames share a buffer whose size is that of the connection's writes.
func TestGatherSize(t *testing.T) {
	frame := func() *buffer {
		buf := getBuffer(1)
		buf.b = append(buf.b[:0], make([]byte, cap(buf.b))...)
		return buf
	}
	for sock, want := range map[*socket]int{nil: packetLength, {}: batchLength} {
		w := &writer{sock: sock}
		for i := 0; i < 3; i++ {
			w.queue = w.gatherLocked(frame())
		}
		if len(w.queue) != 1 {
			t.Fatalf("%d buffers are queued, want 1", len(w.queue))
		}
		if got, want := cap(w.queue[0].b), bufferClassSize(bufferClass(want)); got != want {
			t.Errorf("frames share a buffer of %d bytes, want %d", got, want)
		}
		releaseAll(w.queue)
	}
}

// The last step of a payload's buffer has room for all of it.
func TestBodySizeOfLastStep(t *testing.T) {
	old := &buffer{b: make([]byte, 0, firstBodyLength)}
	for length, want := range map[int]int{
		bodyGrowth * firstBodyLength:       bodyGrowth * firstBodyLength,
		bodyGrowth * (firstBodyLength + 1): firstBodyLength + 1,
	} {
		if got := bodySize(old, length); got != want {
			t.Errorf("of %d bytes: got %d, want %d", length, got, want)
		}
	}
}

// The replies in the queue are over the limit only beyond it: then the read loop waits for
// all of them, otherwise for the round alone.
func TestReplyRoomAtLimit(t *testing.T) {
	for queued, want := range map[int]int64{replyLimit: 10, replyLimit + 1: 20} {
		w := &writer{queueReplies: queued, roundReplies: 1, roundEnd: 10, queueEnd: 20}
		w.replyRoom()
		if got := w.marks[0].offset; got != want {
			t.Errorf("with %d bytes of replies: waits for %d, want %d", queued, got, want)
		}
	}
}
