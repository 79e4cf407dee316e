package ttrpc

import (
	"math/bits"
	"sync"
)

// A buffer is a byte slice with one owner at a time. The owner either passes the buffer on
// or calls release, exactly once, and does not use b after that.
//
// Capacities are powers of two. Large ones have a little more, so that a message of a
// round size fits together with its envelope. Idle buffers stay in sync.Pools, which the
// garbage collector empties, so that a burst of large messages does not pin memory.
type buffer struct {
	b      []byte
	class  int8 // index into bufferPools; -1 when the buffer is not pooled
	pooled bool // released: nobody owns it
}

const (
	minBufferBits = 8  // the smallest class: 256 bytes
	slackBits     = 12 // the first class, 4 KiB, that has bufferSlack in addition
	maxBufferBits = 22 // the largest class: 4 MiB
	bufferSlack   = 256
)

var bufferPools [maxBufferBits - minBufferBits + 1]sync.Pool

// bufferHook is nil except in tests, which set it before they start. It is called for each
// buffer that getBuffer returns (owned) and for each that is released.
var bufferHook func(b *buffer, owned bool)

// getBuffer returns a buffer of length 0 and a capacity of at least n. The caller owns it.
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

// bufferClass returns the smallest class with room for n bytes, or -1 if none has.
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

// release puts the buffer into its pool. The caller must own it and must not use it
// again. Releasing nil does nothing: a frame without payload has no buffer.
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

// packed returns a buffer of just the length of the contents, and takes over this one.
func (buf *buffer) packed() *buffer {
	if buf == nil || buf.free() == 0 {
		return buf
	}
	tight := &buffer{b: append(make([]byte, 0, len(buf.b)), buf.b...), class: -1}
	if bufferHook != nil {
		bufferHook(tight, true)
	}
	buf.release()
	return tight
}

// bytes returns the contents, valid until the buffer is released; nil for nil.
func (buf *buffer) bytes() []byte {
	if buf == nil {
		return nil
	}
	return buf.b
}

// free returns the number of bytes that fit without reallocation.
func (buf *buffer) free() int { return cap(buf.b) - len(buf.b) }
