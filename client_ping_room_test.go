package ttrpc

import (
	"context"
	"testing"
)

// A ping that is not sent takes no room, and after the end its error is ErrClosed.
func TestUnsentPing(t *testing.T) {
	for name, test := range map[string]struct{ end, want error }{
		"no extensions": {nil, errNoPing},
		"the end":       {errPeerSilent, ErrClosed},
	} {
		near, far := memPipe(0)
		c := NewClient(near)
		c.conn.mu.Lock()
		c.conn.err = test.end
		c.conn.mu.Unlock()
		if _, err := c.sendPing(context.Background()); err != test.want {
			t.Errorf("%s: got %v, want %v", name, err, test.want)
		}
		if n := c.conn.ch.w.room.reserved; n != 0 {
			t.Errorf("%s: %d bytes of room are taken", name, n)
		}
		c.conn.mu.Lock()
		c.conn.err = nil
		c.conn.mu.Unlock()
		c.Close()
		far.Close()
	}
}

// A ping that is given up leaves the others.
func TestForgetPing(t *testing.T) {
	near, far := memPipe(0)
	defer far.Close()
	c := NewClient(near)
	defer c.Close()
	a, b := &pingWaiter{number: 1}, &pingWaiter{number: 2}
	c.conn.mu.Lock()
	p := c.conn.pingsLocked()
	p.waiters = []*pingWaiter{a, b}
	c.conn.mu.Unlock()
	c.forgetPing(b)
	if len(p.waiters) != 1 || p.waiters[0] != a {
		t.Errorf("%d pings wait, want the first", len(p.waiters))
	}
}
