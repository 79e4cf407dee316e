//go:build go1.25

package ttrpc

import (
	"context"
	"errors"
	"io"
	"math"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
)

// The windows of streams, by scripts that have them as well. Their window is smallWindow,
// and a message that fill makes has a cost of fillCost: two of them close the window.

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
			st := &stream{conn: &conn{maxInbox: maxInbox}, inbox: new(inbox), wake: make(chan struct{}, 1), flow: &flow{recv: newReceiveWindow(windowOf(maxInbox))}}
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
		st := &stream{conn: &conn{maxInbox: 1}, inbox: new(inbox), wake: make(chan struct{}, 1), flow: &flow{}}
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
