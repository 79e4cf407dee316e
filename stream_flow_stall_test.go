//go:build go1.25

package ttrpc

import (
	"testing"
	"time"
)

// A sender on a stream that began before the end of the negotiation does not wait for its
// window while the read loop waits for the receiver of the stream. The receiver may be the
// same goroutine, and the window frame may be behind the message that has no room.
func TestWindowBehindFullInbox(t *testing.T) {
	bubble(t, func(t *testing.T) {
		st, p := serverPeer(t, WithServerLimits(Limits{MaxStreamBuffer: smallInbox}))
		req := request(1, "HoldStream", flagRemoteOpen|flagNoData, nil)
		req.body = windowSettings(smallWindow).appendOffer(req.body)
		call := st.start(p, req)
		p.want("an offer", settingsOf(windowSettings(smallWindow)))
		p.send(ack, windowFrame(1, 1))
		p.want("the acknowledgement", windowFrame(1, smallWindow))
		wantSender(t, "the window is open", goSend(call.ss), nil)
		p.want("the window is open", fill(1))
		sender := goSend(call.ss)
		wantWaits(t, "the window is closed", sender)

		start := time.Now()
		const messages = 5 // more than there is room for
		for i := 0; i < messages; i++ {
			p.send(fill(1))
		}
		p.send(windowFrame(1, 2*fillCost+1))
		wantSender(t, "reading waits", sender, nil)
		wantSender(t, "reading waits", goSend(call.ss), nil)
		p.want("reading waits", fill(1), fill(1))
		for i := 0; i < messages; i++ {
			call.wantRecv(t, "the messages", filled)
		}
		wantElapsed(t, "the messages", start, 0)
		p.next("a limit")
		p.next("a limit")
		wantWaits(t, "reading goes on", goSend(call.ss))
	})
}
