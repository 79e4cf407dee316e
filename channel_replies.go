package ttrpc

// This file decides when to flush the frames that the goroutine that reads has queued while
// it had frames to handle: responses and settings, or a client's acknowledgement. They share
// writes. The latest time is before a read, which may wait.

// flushesPerRead is the number of parts into which a long read is divided: the responses to
// each part are flushed together. If the responses to everything that was read waited for
// the last one, the client would be idle while the server works, and then the server.
const flushesPerRead = 8

const (
	longRead       = 2 << 10 // the length of the shortest read that is divided
	minFlushLength = 512     // and of its shortest part: some four small requests
)

// flushPart flushes the queued frames if a part of a long read has been handled. It is called
// before each frame, and is not inlined: see checkForeign.
//
//go:noinline
func (ch *channel) flushPart() {
	n := len(ch.chunk.bytes())
	switch {
	case !ch.unflushed:
		ch.partStart = ch.off
	case n >= longRead && ch.off-ch.partStart >= max(n/flushesPerRead, minFlushLength):
		ch.flushReplies()
	}
}

// flushReplies flushes the queued frames. It is called before each read.
func (ch *channel) flushReplies() {
	ch.partStart = ch.off
	if !ch.unflushed {
		return
	}
	ch.unflushed = false
	if ch.isClient {
		ch.w.flushLater() // the stack of an idle read loop stays small
	} else {
		ch.w.flush()
	}
}
