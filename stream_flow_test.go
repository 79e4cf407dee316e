//go:build go1.25

package ttrpc

import (
	"context"
	"errors"
	"io"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
)

// The windows of streams, by scripts that have them as well. Their window is smallWindow,
// and a message that fill makes has a cost of fillCost: two of them close the window.

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

// A server states a limit after each half window that a handler has taken, and for frames
// that carry no message.
func TestServerGivesWindow(t *testing.T) {
	bubble(t, func(t *testing.T) {
		st, p := windowServer(t)
		call := st.start(p, request(3, "HoldStream", flagRemoteOpen|flagNoData, nil))
		p.send(fill(3), fill(3))
		p.wantNothing("a window that is full")
		time.Sleep(time.Hour)
		p.alive("a handler that does not receive", 5)
		for i := uint64(1); i <= 2; i++ {
			call.wantRecv(t, "the messages", filled)
			p.want("half a window", windowFrame(3, i*fillCost+smallWindow))
		}
		for i := 0; i < 8; i++ {
			p.send(data(3, flagNoData, nil))
		}
		p.want("frames without a message", windowFrame(3, 2*fillCost+8*dataOverhead+smallWindow))
		p.send(fill(3), fill(3), data(3, flagRemoteClosed, text(filled)))
		p.wantNothing("the rest")
		for i := 0; i < 3; i++ {
			call.wantRecv(t, "the last ones", filled)
		}
		call.wantRecvErr(t, "the end", io.EOF)
		p.wantNothing("a limit for a client that has sent its last")
		call.returns(nil, nil)
		p.want("the end", data(3, flagRemoteClosed|flagNoData, nil))
	})
}

// The same for a client.
func TestClientGivesWindow(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, p := windowClient(t)
		cs := open(t, context.Background(), c, bidi, nil)
		p.wantRequest("a stream", 3, flagRemoteOpen|flagNoData)
		p.send(fill(3), fill(3))
		time.Sleep(time.Hour)
		call := goCall(t, context.Background(), c, text("x"))
		p.wantRequest("a call", 5, 0)
		p.send(response(5, text("beside")))
		call.wantValue("a stream that is not received", "beside")
		for i := uint64(1); i <= 2; i++ {
			wantMsg(t, cs, "the messages", filled)
			p.want("half a window", windowFrame(3, i*fillCost+smallWindow))
		}
		p.send(fill(3), fill(3), data(3, flagRemoteClosed, text(filled)))
		p.wantNothing("the rest")
		for i := 0; i < 3; i++ {
			wantMsg(t, cs, "the last ones", filled)
		}
		wantEnd(t, cs, "the end", io.EOF)
		p.wantNothing("a limit for a server that has sent its last")
	})
}

// A client that sends more than the window loses the stream at once, and reading never
// pauses.
func TestServerWindowOverrun(t *testing.T) {
	bubble(t, func(t *testing.T) {
		st, p := windowServer(t)
		call := st.start(p, request(3, "HoldStream", flagRemoteOpen|flagNoData, nil))
		start := time.Now()
		p.send(fill(3), fill(3), fill(3), request(5, "Echo", 0, text("behind")))
		p.wantStatus("overrun", 3, codes.ResourceExhausted)
		p.want("behind", response(5, text("behind")))
		wantElapsed(t, "reading goes on", start, 0)
		if call.ctx.Err() != context.Canceled {
			t.Errorf("the handler's context: got %v", call.ctx.Err())
		}
		call.wantRecvErr(t, "overrun", errOverrun)
		st.wantStreams("overrun", 0)
		p.send(fill(3), windowFrame(3, math.MaxUint64))
		p.wantNothing("late frames")
		call.returns(nil, nil)
		p.alive("after", 7)
	})
}

// A server that does so is told by a cancel frame.
func TestClientWindowOverrun(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, p := windowClient(t)
		cs := open(t, context.Background(), c, bidi, nil)
		p.wantRequest("a stream", 3, flagRemoteOpen|flagNoData)
		start := time.Now()
		p.send(fill(3), fill(3), fill(3))
		p.want("overrun", cancelFrame(3, codes.Canceled))
		wantElapsed(t, "reading goes on", start, 0)
		for i := 0; i < 2; i++ {
			wantMsg(t, cs, "the messages in the window", filled)
		}
		wantEnd(t, cs, "overrun", errOverrun)
		if !errors.Is(errOverrun, ErrStreamFull) {
			t.Error("errOverrun is not ErrStreamFull")
		}
		wantNoStreams(t, c)
	})
}

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

// A side that announces no window gets data without a limit, and one without the feature
// neither limits nor window frames.
func TestNoWindow(t *testing.T) {
	bubble(t, func(t *testing.T) {
		for _, s := range []settings{windowSettings(0), {version: 1, features: featureCancel, window: 10}} {
			c, p := clientPeer(t)
			p.extendClientBy(c, s)
			ctx, cancel := context.WithCancel(context.Background())
			cs := open(t, ctx, c, bidi, nil)
			p.next("a stream")
			if s.window > 0 {
				p.send(windowFrame(3, 1))
				p.wantNothing("a frame of a feature that is not in use")
			}
			for i := 0; i < 100; i++ {
				wantSender(t, "no window", goSend(cs), nil)
				p.want("no window", fill(3))
			}
			cancel()
			p.next("a cancel frame")
		}
	})
}

// A peer that sends and does not read gets one window frame of a stream in the queue, and
// afterwards the limit of then.
func TestWindowFramesOfPeerThatDoesNotRead(t *testing.T) {
	bubble(t, func(t *testing.T) {
		st, p := windowServer(t)
		call := st.start(p, request(3, "HoldStream", flagRemoteOpen|flagNoData, nil))
		p.conn.in.mu.Lock()
		p.conn.in.capacity = 1
		p.conn.in.mu.Unlock()
		const messages = 1000
		for i := 0; i < messages; i++ {
			p.send(fill(3))
			call.wantRecv(t, "the messages", filled)
		}
		cn := testPairConn(t, st.server).conn
		cn.ch.w.room.mu.Lock()
		if n := cn.ch.w.room.reserved; n > 2*(headerLength+windowUpdateLength) {
			t.Errorf("%d bytes wait to be written", n)
		}
		cn.ch.w.room.mu.Unlock()
		p.conn.in.mu.Lock()
		p.conn.in.capacity = 1 << 20
		p.conn.in.changed.Broadcast()
		p.conn.in.mu.Unlock()
		p.want("the peer reads", windowFrame(3, fillCost+smallWindow), windowFrame(3, messages*fillCost+smallWindow))
		p.wantNothing("the peer reads")
	})
}

// A window of short messages takes no more memory than the buffer of a stream may have.
func TestWindowOfShortMessages(t *testing.T) {
	settle(t)
	keepLedger(t, func() {
		const maxInbox = 100 << 10
		for length := 0; length < 400; length += 13 {
			st := &stream{conn: &conn{maxInbox: maxInbox}, wake: make(chan struct{}, 1), flow: &flow{recv: newReceiveWindow(windowOf(maxInbox))}}
			st.inbox.init(0)
			for st.flow.recv.received < st.flow.recv.limit {
				m := waiting(strings.Repeat("x", length))
				m.cost = uint32(length + dataOverhead)
				if result := st.push(m); result != pushed {
					t.Fatal(result)
				}
			}
			if most := maxInbox + inboxOverhead + 512; st.inbox.size > most { // with one message beyond
				t.Errorf("messages of %d bytes take %d bytes, at most %d", length, st.inbox.size, most)
			}
			if result := st.push(message{cost: dataOverhead, buf: getBuffer(1)}); result != overrun {
				t.Errorf("beyond the window: %v", result)
			}
			st.inbox.discard(io.EOF)
		}
	})
}

// The window of a strict stream is its only limit: reading never waits for its receiver.
func TestStrictStreamIsNeverFull(t *testing.T) {
	for _, strict := range []bool{true, false} {
		st := &stream{conn: &conn{maxInbox: 1}, wake: make(chan struct{}, 1), flow: &flow{}}
		if strict {
			st.flow.recv = newReceiveWindow(smallWindow)
		}
		st.inbox.init(0)
		want := pushed
		for i := 0; i < 2; i++ {
			if result := st.push(message{cost: dataOverhead}); result != want {
				t.Errorf("strict: %v, message %d: %v, want %v", strict, i, result, want)
			}
			if !strict {
				want = full
			}
		}
	}
}
