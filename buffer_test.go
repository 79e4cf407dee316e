package ttrpc

import (
	"fmt"
	"strings"
	"testing"
)

// A buffer that is released twice is a bug of the package: the second release panics.
func TestBufferReleasedTwice(t *testing.T) {
	buf := getBuffer(maxMessageLengthLimit) // too big for a pool: nobody else takes it
	buf.release()
	defer func() {
		if got := fmt.Sprint(recover()); !strings.HasPrefix(got, "BUG: ") {
			t.Errorf("the second release: got %q, want a panic", got)
		}
	}()
	buf.release()
}

// A size that is a power of two gets a buffer of just that capacity, and the next size the
// next class.
func TestBufferClassEdges(t *testing.T) {
	for n, want := range map[int]int{
		0: 256, 256: 256, 257: 512, 2048: 2048,
		2049: 4096 + bufferSlack, 4096 + bufferSlack: 4096 + bufferSlack,
		4096 + bufferSlack + 1: 8192 + bufferSlack,
	} {
		if got := bufferClassSize(bufferClass(n)); got != want {
			t.Errorf("the class for %d bytes has %d, want %d", n, got, want)
		}
	}
}

// A pool takes no buffer of another capacity than its own, and none without a class.
func TestBufferOfOtherCapacity(t *testing.T) {
	buf := &buffer{b: make([]byte, 0, 2*bufferClassSize(0)), class: 0}
	buf.release()
	if x := bufferPools[0].Get(); x != nil && x.(*buffer) == buf {
		t.Error("the smallest pool has kept a larger buffer")
	}
	(&buffer{b: make([]byte, 0, bufferClassSize(-1)), class: -1}).release()
}

func TestBufferPacked(t *testing.T) {
	var none *buffer
	if got := none.packed(); got != nil {
		t.Errorf("of no buffer: got %v", got)
	}
	var spare int
	peak := keepLedger(t, func() {
		buf := getBuffer(1)
		spare = cap(buf.b)
		buf.b = append(buf.b, 1, 2, 3)
		tight := buf.packed()
		if cap(tight.b) != 3 || string(tight.b) != "\x01\x02\x03" {
			t.Errorf("got %v of capacity %d", tight.b, cap(tight.b))
		}
		if tight.packed() != tight {
			t.Error("a buffer without room is copied")
		}
		tight.release()
	})
	if want := spare + 3; peak < want {
		t.Errorf("at most %d bytes were owned at once, want the two buffers' %d", peak, want)
	}
}
