//go:build go1.25

package ttrpc

import (
	"context"
	"io"
	"math"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
)

// A client's sender waits for the window without any room in the queue, and nothing but
// a higher limit, the end of its context or that of the stream ends the waiting.
func TestClientAwaitsWindow(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, p := windowClient(t)
		ctx, cancel := context.WithCancel(context.Background())
		cs := open(t, ctx, c, bidi, nil)
		p.wantRequest("a stream", 3, flagRemoteOpen|flagNoData)
		for i := 0; i < 2; i++ {
			wantSender(t, "in the window", goSend(cs), nil)
			p.want("in the window", fill(3))
		}
		sender := goSend(cs)
		wantWaits(t, "a closed window", sender)
		time.Sleep(time.Hour)
		for _, limit := range []uint64{0, 1, smallWindow, 2 * fillCost} {
			p.send(windowFrame(3, limit), windowFrame(5, math.MaxUint64))
			wantWaits(t, "a limit that is too low, and another stream's", sender)
		}
		p.wantNothing("a sender that waits")
		wantNoRoom(t, c.conn)
		call := goCall(t, context.Background(), c, text("x"))
		p.wantRequest("a call", 5, 0)
		p.send(response(5, text("beside")))
		call.wantValue("beside a sender that waits", "beside")

		p.send(windowFrame(3, 2*fillCost+1), windowFrame(3, 2*fillCost+1))
		wantSender(t, "the window opens", sender, nil)
		p.want("the window opens", fill(3))
		first, second := goSend(cs), goSend(cs)
		wantWaits(t, "closed again", first)
		wantWaits(t, "closed again", second)
		p.send(windowFrame(3, 3*fillCost+1))
		p.want("one of the two", fill(3))
		p.send(windowFrame(3, math.MaxUint64), windowFrame(3, 1))
		p.want("the other", fill(3))
		wantSender(t, "open", first, nil)
		wantSender(t, "open", second, nil)
		for i := 0; i < 100; i++ {
			wantSender(t, "a limit of 2^64", goSend(cs), nil)
			p.want("a limit of 2^64", fill(3))
		}

		cs = open(t, ctx, c, bidi, nil)
		p.wantRequest("a stream", 7, flagRemoteOpen|flagNoData)
		for i := 0; i < 2; i++ {
			wantSender(t, "in the window", goSend(cs), nil)
			p.want("in the window", fill(7))
		}
		sender = goSend(cs)
		wantWaits(t, "a closed window", sender)
		if err := cs.CloseSend(); err != nil {
			t.Errorf("CloseSend, which is free: %v", err)
		}
		p.want("CloseSend", data(7, flagRemoteClosed|flagNoData, nil))
		wantSender(t, "CloseSend", sender, ErrStreamClosed)
		p.send(data(7, flagRemoteClosed|flagNoData, nil))
		wantEnd(t, cs, "the end", io.EOF)

		cs = open(t, ctx, c, bidi, nil)
		p.wantRequest("a stream", 9, flagRemoteOpen|flagNoData)
		for i := 0; i < 2; i++ {
			wantSender(t, "in the window", goSend(cs), nil)
			p.want("in the window", fill(9))
		}
		sender = goSend(cs)
		wantWaits(t, "a closed window", sender)
		p.send(data(9, flagRemoteClosed|flagNoData, nil))
		wantSender(t, "the server ends the stream", sender, io.EOF)
		p.wantNothing("the server ends the stream")
		cancel()
		p.want("the context ends", cancelFrame(3, codes.Canceled))
		wantNoRoom(t, c.conn)
	})
}

// Each end of a client's stream ends the waiting for a window that is never granted.
func TestClientWindowNeverGranted(t *testing.T) {
	for name, test := range map[string]struct {
		end  func(*Client, context.CancelFunc)
		want error
	}{
		"context": {func(_ *Client, cancel context.CancelFunc) { cancel() }, context.Canceled},
		"Close":   {func(c *Client, _ context.CancelFunc) { c.Close() }, ErrClosed},
		"Shutdown and Close": {func(c *Client, _ context.CancelFunc) {
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			if err := c.Shutdown(ctx); err != context.DeadlineExceeded {
				panic(err)
			}
			c.Close()
		}, ErrClosed},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				c, p := windowClient(t)
				ctx, cancel := context.WithCancel(context.Background())
				defer cancel()
				cs := open(t, ctx, c, bidi, nil)
				p.next("a stream")
				for i := 0; i < 2; i++ {
					wantSender(t, "in the window", goSend(cs), nil)
				}
				var senders []<-chan error
				for i := 0; i < 100; i++ {
					senders = append(senders, goSend(cs))
				}
				time.Sleep(time.Hour)
				wantNoRoom(t, c.conn)
				test.end(c, cancel)
				for _, sender := range senders {
					wantSender(t, name, sender, test.want)
				}
			})
		})
	}
}

// A handler waits for the window of its client, until that is granted or the call ends.
func TestServerAwaitsWindow(t *testing.T) {
	for name, test := range map[string]struct {
		end  func(*serverTest, *peer)
		want error
	}{
		"window": {func(_ *serverTest, p *peer) { p.send(windowFrame(3, 2*fillCost+1)) }, nil},
		"cancel": {func(_ *serverTest, p *peer) { p.send(cancelFrame(3, codes.Canceled)) }, errCallerGone},
		"Close":  {func(st *serverTest, _ *peer) { st.server.Close() }, ErrClosed},
		"the end of the connection": {func(_ *serverTest, p *peer) {
			p.conn.Close()
		}, ErrClosed},
		"Shutdown": {func(st *serverTest, _ *peer) {
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			if err := st.server.Shutdown(ctx); err != context.DeadlineExceeded {
				st.t.Errorf("Shutdown: %v", err)
			}
			st.server.Close()
		}, ErrClosed},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				st, p := windowServer(t)
				call := st.start(p, request(3, "HoldServer", flagRemoteClosed, text("x")))
				for i := 0; i < 2; i++ {
					wantSender(t, "in the window", goSend(call.ss), nil)
					p.want("in the window", fill(3))
				}
				sender := goSend(call.ss)
				wantWaits(t, "a closed window", sender)
				time.Sleep(time.Hour)
				p.alive("beside a handler that waits", 5)
				wantNoRoom(t, testPairConn(t, st.server).conn)
				test.end(st, p)
				wantSender(t, name, sender, test.want)
				if name == "window" {
					p.want("the window opens", fill(3))
					wantWaits(t, "closed again", goSend(call.ss))
					call.returns(text("last"), nil) // is free
					p.want("the end", data(3, flagRemoteClosed, text("last")))
				}
			})
		})
	}
}

// Streams that are older than the negotiation get one limit each when that is over, by
// what was sent on them from their beginning; a sender that does not keep to it is
// treated as without windows.
func TestServerWindowOfOlderStream(t *testing.T) {
	bubble(t, func(t *testing.T) {
		st, p := serverPeer(t, WithServerLimits(Limits{MaxStreamBuffer: smallInbox}))
		older := st.start(p, request(7, "HoldStream", flagRemoteOpen|flagNoData, nil))
		req := request(1, "HoldStream", flagRemoteOpen|flagNoData, nil)
		req.body = windowSettings(smallWindow).appendOffer(req.body)
		call := st.start(p, req)
		p.want("an offer", settingsOf(windowSettings(smallWindow)))
		p.send(fill(1))
		call.wantRecv(t, "before the acknowledgement", filled)
		for i := 0; i < 3; i++ {
			wantSender(t, "without a limit", goSend(call.ss), nil)
			p.want("without a limit", fill(1))
		}
		p.send(ack)
		p.want("the acknowledgement", windowFrame(1, fillCost+smallWindow))
		p.send(windowFrame(1, 3*fillCost), windowFrame(7, 1))
		p.wantNothing("limits")
		sender := goSend(call.ss)
		wantWaits(t, "the limit of what was sent", sender)
		p.send(windowFrame(1, 3*fillCost+1))
		wantSender(t, "the limit is raised", sender, nil)
		p.want("the limit is raised", fill(1))
		wantSender(t, "a stream that is older than the offer", goSend(older.ss), nil)
		p.want("a stream that is older than the offer", fill(7))

		p.send(fill(1))
		call.wantRecv(t, "in the window", filled)
		p.want("half a window", windowFrame(1, 2*fillCost+smallWindow))
		start := time.Now()
		for i := 0; i < 5; i++ {
			p.send(fill(1))
		}
		p.wantNothing("beyond the window")
		time.Sleep(slowConsumerLimit)
		p.wantStatus("the limit", 1, codes.ResourceExhausted)
		wantElapsed(t, "the limit", start, slowConsumerLimit)
		call.returns(nil, nil)
		older.returns(nil, nil)
		p.want("the end", data(7, flagRemoteClosed|flagNoData, nil))
	})
}

// The same for a client.
func TestClientWindowOfOlderStream(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, p := clientPeer(t, WithClientLimits(Limits{MaxStreamBuffer: smallInbox}))
		ctx, cancel := context.WithCancel(context.Background())
		cs := open(t, ctx, c, bidi, nil)
		p.next("the offer")
		for i := 0; i < 3; i++ {
			wantSender(t, "without a limit", goSend(cs), nil)
			p.want("without a limit", fill(1))
		}
		p.send(settingsOf(windowSettings(smallWindow)), fill(1))
		p.want("settings", ack, windowFrame(1, smallWindow))
		p.send(windowFrame(1, smallWindow))
		p.wantNothing("a limit")
		sender := goSend(cs)
		wantWaits(t, "the limit of what was sent", sender)
		p.send(windowFrame(1, 3*fillCost+1))
		wantSender(t, "the limit is raised", sender, nil)
		p.want("the limit is raised", fill(1))
		wantMsg(t, cs, "in the window", filled)
		p.want("half a window", windowFrame(1, fillCost+smallWindow))
		start := time.Now()
		for i := 0; i < 5; i++ {
			p.send(fill(1))
		}
		p.wantNothing("beyond the window")
		time.Sleep(slowConsumerLimit)
		p.want("the limit", cancelFrame(1, codes.Canceled))
		wantElapsed(t, "the limit", start, slowConsumerLimit)
		receiveAll(cs)
		cancel()
	})
}
