//go:build go1.25

package ttrpc

import (
	"testing"
	"time"
)

// Close sends the frames that were queued before, and waits for a peer that does not
// read only so long.
func TestClientCloseLingers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, far, waiting := clogged(t)
		start := time.Now()
		go c.Close()
		for _, call := range waiting {
			if err := call.err("Close"); err != ErrClosed {
				t.Errorf("got %v, want ErrClosed", err)
			}
		}
		wantElapsed(t, "the calls return", start, 0)
		p := &peer{t: t, conn: far}
		p.wantRequest("what was queued before Close", 1, 0)
		p.wantRequest("what was queued before Close", 3, 0)
		p.wantClosed("after that")
	})
	bubble(t, func(t *testing.T) {
		c, far, _ := clogged(t)
		go c.Close()
		time.Sleep(lingerLimit - tick)
		if far.ended() {
			t.Error("the connection was closed before the limit")
		}
		time.Sleep(2 * tick)
		far.takeAll()
		if !far.ended() {
			t.Error("the connection was not closed at the limit")
		}
	})
}
