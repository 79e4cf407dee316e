package ttrpc

import (
	"math/bits"
	"sync"
)

// A buffer is a byte slice that has one owner at a time. Whoever owns it either
// hands it on or calls release, exactly once; nobody looks at b after that.
//
// Buffers come in sizes of a power of two, the bigger ones with a little more,
// so that a message of a round size and its envelope fit together. Idle ones
// wait in sync.Pools, which the garbage collector empties: what a burst of big
// messages needed does not stay.
type buffer struct {
	b      []byte
	class  int8 // index into bufferPools; -1 when the buffer is not pooled
	pooled bool // it lies in its pool and nobody owns it
}

const (
	minBufferBits = 8  // the smallest class: 256 bytes
	slackBits     = 12 // classes from here on, 4 KiB, have bufferSlack more
	maxBufferBits = 22 // the largest class: 4 MiB
	bufferSlack   = 256
)

var bufferPools [maxBufferBits - minBufferBits + 1]sync.Pool

// bufferHook is nil but in tests, which set it before they start: it is told of
// each buffer that gets an owner, and of each that loses its last one.
var bufferHook func(b *buffer, owned bool)

// getBuffer returns a buffer of length 0 and a capacity of at least n.
func getBuffer(n int) *buffer {
	buf := takeBuffer(n)
	if bufferHook != nil {
		bufferHook(buf, true)
	}
	return buf
}

func takeBuffer(n int) *buffer {
	class := bufferClass(n)
	if class < 0 {
		return &buffer{b: make([]byte, 0, n), class: -1}
	}
	if x := bufferPools[class].Get(); x != nil {
		buf := x.(*buffer)
		buf.pooled = false
		return buf
	}
	return &buffer{b: make([]byte, 0, bufferClassSize(class)), class: int8(class)}
}

func bufferClassSize(class int) int {
	bits := minBufferBits + class
	if bits < slackBits {
		return 1 << bits
	}
	return 1<<bits + bufferSlack
}

// bufferClass returns the pool for n bytes, or -1 if they are too many for any.
func bufferClass(n int) int {
	if n > 1<<(slackBits-1) {
		n = max(n-bufferSlack, 1<<(slackBits-1)+1)
	}
	if n <= 1<<minBufferBits {
		return 0
	}
	class := bits.Len(uint(n-1)) - minBufferBits
	if class >= len(bufferPools) {
		return -1
	}
	return class
}

// release gives the buffer back. The caller must own it and not use it again.
// Releasing nil does nothing, as a frame without payload has no buffer.
func (buf *buffer) release() {
	if buf == nil {
		return
	}
	if buf.pooled {
		panic("BUG: ttrpc: buffer released twice")
	}
	buf.pooled = true
	if bufferHook != nil {
		bufferHook(buf, false)
	}
	if buf.class < 0 || cap(buf.b) != bufferClassSize(int(buf.class)) {
		return
	}
	buf.b = buf.b[:0]
	bufferPools[buf.class].Put(buf)
}

// bytes returns the contents, valid until the buffer is released; nil for nil.
func (buf *buffer) bytes() []byte {
	if buf == nil {
		return nil
	}
	return buf.b
}

// free returns how many bytes can be appended without moving the buffer.
func (buf *buffer) free() int { return cap(buf.b) - len(buf.b) }
