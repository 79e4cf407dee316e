//go:build go1.25

package ttrpc

import (
	"strings"
	"testing"
	"testing/synctest"
)

const (
	smallWindow = smallInbox / 2
	fillCost    = filler + 3 + dataOverhead
)

var filled = strings.Repeat("f", filler)

func windowSettings(window uint32) settings {
	s := defaultConnConfig.settings()
	s.window = window
	return s
}

func windowFrame(id streamID, limit uint64) rawFrame {
	return frameOf(windowUpdate{id: id, limit: limit}.frame())
}

// windowServer is serverPeer, with small windows both ways, after the negotiation.
func windowServer(t *testing.T, opts ...ServerOpt) (*serverTest, *peer) {
	t.Helper()
	st, p := serverPeer(t, append(opts, WithServerLimits(Limits{MaxStreamBuffer: smallInbox}))...)
	offer := request(1, "Echo", 0, text("offer"))
	offer.body = windowSettings(smallWindow).appendOffer(offer.body)
	p.send(offer)
	p.want("an offer", settingsOf(windowSettings(smallWindow)), response(1, text("offer")))
	p.send(ack)
	p.wantNothing("the acknowledgement")
	return st, p
}

// windowClient is the same for a client.
func windowClient(t *testing.T) (*Client, *peer) {
	t.Helper()
	c, p := clientPeer(t, WithClientLimits(Limits{MaxStreamBuffer: smallInbox}))
	p.extendClientBy(c, windowSettings(smallWindow))
	return c, p
}

// wantNoRoom checks that no room in the queue is taken.
func wantNoRoom(t *testing.T, cn *conn) {
	t.Helper()
	synctest.Wait()
	room := &cn.ch.w.room
	room.mu.Lock()
	defer room.mu.Unlock()
	if room.reserved != 0 {
		t.Errorf("%d bytes of room are taken, while nothing is on its way", room.reserved)
	}
}

// goSend sends a message that fill makes, on another goroutine.
func goSend(s interface{ SendMsg(any) error }) <-chan error {
	return goErr(func() error { return s.SendMsg(text(filled)) })
}

// wantWaits checks that sender waits.
func wantWaits(t *testing.T, why string, sender <-chan error) {
	t.Helper()
	synctest.Wait()
	select {
	case err := <-sender:
		t.Fatalf("%s: SendMsg returned %v, and should wait", why, err)
	default:
	}
}

// wantSender checks that sender has returned want.
func wantSender(t *testing.T, why string, sender <-chan error, want error) {
	t.Helper()
	synctest.Wait()
	select {
	case err := <-sender:
		if err != want {
			t.Fatalf("%s: SendMsg returned %v, want %v", why, err, want)
		}
	default:
		t.Fatalf("%s: SendMsg waits", why)
	}
}
