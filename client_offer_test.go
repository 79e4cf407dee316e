package ttrpc

import "testing"

// A request carries the offer if it fits, to the byte.
func TestOfferThatJustFits(t *testing.T) {
	near, far := memPipe(0)
	defer far.Close()
	c := NewClient(near, WithClientExtensions(true))
	defer c.Close()
	offer := c.cfg.conn.settings().sizeOffer()
	c.conn.maxLength.Store(1000)
	for size, want := range map[int]bool{1000 - offer: true, 1001 - offer: false} {
		if got := c.mayOffer(size); got != want {
			t.Errorf("a request of %d bytes: got %v", size, got)
		}
	}
}
