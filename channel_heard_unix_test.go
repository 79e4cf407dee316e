//go:build unix

package ttrpc

import "testing"

// Keepalive hears of the bytes of a long payload, which are read without the chunk.
func TestPayloadIsHeard(t *testing.T) {
	ours, theirs := socketPair(t)
	ch := newChannel(ours, 1<<20, 1<<20, func(error) {})
	defer ch.releaseRead()
	ch.heard = newReadClock()
	frame := make([]byte, headerLength)
	putHeader(frame, header{length: 5 * readChunkLength, id: 1, typ: messageTypeData})
	write := func(b []byte) {
		if _, err := theirs.Write(b); err != nil {
			t.Error(err)
		}
	}
	write(frame)
	if err := ch.beginFrame(); err != nil {
		t.Fatal(err)
	}
	for i := 0; i < 4; i++ {
		write(make([]byte, readChunkLength))
		ch.heard.last.Store(0)
		reads := !ch.buffered()
		if err := ch.readBody(); err != nil {
			t.Fatal(err)
		}
		if reads && ch.heard.last.Load() == 0 {
			t.Errorf("piece %d of the payload is not heard", i)
		}
	}
}
