//go:build go1.25

package ttrpc

import (
	"context"
	"testing"
	"testing/synctest"
)

func wantParked(t *testing.T, why string, c *Client, want int) {
	t.Helper()
	synctest.Wait()
	c.conn.mu.Lock()
	defer c.conn.mu.Unlock()
	if n := c.reader.turn.parked; n != want {
		t.Errorf("%s: %d receivers are parked, want %d", why, n, want)
	}
}

// Each receiver that waits is counted, until it waits no more: calls that are given up,
// pings, and senders that wait for a window.
func TestParkedReceivers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, p := clientPeer(t, WithClientExtensions(true))
		extend(t, c, p)
		ctx, cancel := context.WithCancel(context.Background())
		call := goCall(t, ctx, c, text("x"))
		wantParked(t, "a call", c, 1)
		cancel()
		call.err("given up")
		wantParked(t, "a call given up", c, 0)

		ctx, cancel = context.WithCancel(context.Background())
		ping := goPing(ctx, c)
		wantParked(t, "a ping", c, 1)
		cancel()
		wantPing(t, "given up", ping, context.Canceled)
		wantParked(t, "a ping given up", c, 0)

		s := new(slot)
		c.senderWaits(s)
		wantParked(t, "a sender", c, 1)
		c.senderGoesOn(s)
		wantParked(t, "a sender that goes on", c, 0)
	})
}

// An answer without settings ends the offer.
func TestAnswerEndsOffer(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, p := clientPeer(t, WithClientExtensions(true))
		call := goCall(t, context.Background(), c, text("x"))
		p.want("the call", withOffer(request(1, "Echo", 0, text("x"))))
		p.send(response(1, text("x")))
		call.wantValue("the call", "x")
		if !c.conn.ext.is(plain) {
			t.Error("the client goes on with its offer")
		}
	})
}
