//go:build go1.25

package ttrpc

import (
	"context"
	"runtime"
	"sync/atomic"
	"testing"
)

// The collector leaves a dropped stream alone in a bubble, where it would end the process.
func TestForgottenStreamInBubble(t *testing.T) {
	if inBubble() {
		t.Error("a bubble outside of bubbles")
	}
	bubble(t, func(t *testing.T) {
		if !inBubble() {
			t.Error("no bubble")
		}
		c, p := clientPeer(t)
		if _, err := c.NewStream(context.Background(), &StreamDesc{StreamingServer: true}, testService, "M", text("x")); err != nil {
			t.Fatal(err)
		}
		p.next("the request")
		for i := 0; i < 3; i++ {
			var collected atomic.Bool
			runtime.SetFinalizer(&struct{ b [64]byte }{}, func(any) { collected.Store(true) })
			for !collected.Load() {
				runtime.GC()
				runtime.Gosched()
			}
		}
		if n := tableSize(c.conn); n != 1 {
			t.Errorf("the client has %d streams, want 1", n)
		}
	})
}
