//go:build go1.25

package ttrpc

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
)

// Limits on slow consumers, with a clock that is exact.

// While an inbox is full the server stops reading; after a second without
// progress that stream alone fails.
func TestServerSlowConsumer(t *testing.T) {
	bubble(t, func(t *testing.T) {
		st, p := serverPeer(t, WithServerLimits(Limits{MaxStreamBuffer: smallInbox}))
		call := st.start(p, request(1, "HoldStream", flagRemoteOpen, nil))
		p.send(fill(1), fill(1))
		p.alive("two messages fill the inbox, and reading goes on", 3)
		start := time.Now()
		p.send(fill(1), request(5, "Echo", 0, text("behind")))
		time.Sleep(time.Second - 2*tick)
		p.wantNothing("reading is paused")
		st.wantStreams("the stream is there", 1)
		time.Sleep(2 * tick)
		p.wantStatus("the limit", 1, codes.ResourceExhausted)
		p.want("reading goes on", response(5, text("behind")))
		wantElapsed(t, "reading goes on", start, time.Second)
		if call.ctx.Err() != context.Canceled {
			t.Errorf("the handler's context: got %v, want Canceled", call.ctx.Err())
		}
		if _, err := recvNow(call.ss); !errors.Is(err, ErrStreamFull) {
			t.Errorf("the handler receives: got %v, want ErrStreamFull", err)
		}
		p.send(fill(1), data(1, flagRemoteClosed|flagNoData, nil))
		p.wantNothing("later frames for it are dropped")
		call.returns(nil, nil)
		p.alive("after", 7)
	})
}

// A handler that takes a message now and then is slow, not stuck.
func TestServerSlowConsumerProgress(t *testing.T) {
	bubble(t, func(t *testing.T) {
		st, p := serverPeer(t, WithServerLimits(Limits{MaxStreamBuffer: smallInbox}))
		call := st.start(p, request(1, "HoldStream", flagRemoteOpen, nil))
		for i := 0; i < 7; i++ {
			p.send(fill(1))
		}
		p.send(data(1, flagRemoteClosed|flagNoData, nil), request(3, "Echo", 0, text("behind")))
		start := time.Now()
		for i := 0; i < 5; i++ {
			time.Sleep(time.Second * 9 / 10)
			p.wantNothing("reading is paused")
			call.wantRecv(t, "one now and then", strings.Repeat("f", filler))
		}
		p.want("all fits", response(3, text("behind")))
		if got := time.Since(start); got < 4*time.Second {
			t.Errorf("all fits: after %v", got)
		}
		for i := 0; i < 2; i++ {
			call.wantRecv(t, "the rest", strings.Repeat("f", filler))
		}
		call.wantRecvErr(t, "the end", io.EOF)
		call.returns(nil, nil)
		p.want("the end", data(1, flagRemoteClosed|flagNoData, nil))
	})
}

// Several streams that nobody reads cost a second in all, not one each.
func TestServerSlowConsumers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		const streams = 5
		st, p := serverPeer(t, WithServerLimits(Limits{MaxStreamBuffer: smallInbox}))
		for i := 0; i < streams; i++ {
			id := streamID(2*i + 1)
			st.start(p, request(id, "HoldStream", flagRemoteOpen, nil))
			p.send(fill(id), fill(id))
		}
		p.wantNothing("all are full")
		start := time.Now()
		for i := 0; i < streams; i++ {
			p.send(fill(streamID(2*i + 1)))
		}
		p.send(request(101, "Echo", 0, text("behind")))
		time.Sleep(time.Second)
		for i := 0; i < streams; i++ {
			p.wantStatus("the limit", streamID(2*i+1), codes.ResourceExhausted)
		}
		p.want("reading goes on", response(101, text("behind")))
		wantElapsed(t, "five streams that nobody reads", start, time.Second)
	})
}

// A message that is longer than the inbox fits when nothing else is there.
func TestServerInboxTakesOneMessage(t *testing.T) {
	bubble(t, func(t *testing.T) {
		st, p := serverPeer(t, WithServerLimits(Limits{MaxStreamBuffer: 1}))
		call := st.start(p, request(1, "HoldStream", flagRemoteOpen, nil))
		p.send(fill(1))
		p.alive("one message is let in", 3)
		p.send(data(1, flagRemoteClosed, text("last")))
		p.alive("and the last", 5)
		call.wantRecv(t, "the first", strings.Repeat("f", filler))
		call.wantRecv(t, "the last", "last")
		call.returns(nil, nil)
		p.want("the end", data(1, flagRemoteClosed|flagNoData, nil))
	})
}

// Empty messages count, too: a peer may send many.
func TestServerInboxCountsEmptyMessages(t *testing.T) {
	bubble(t, func(t *testing.T) {
		st, p := serverPeer(t, WithServerLimits(Limits{MaxStreamBuffer: smallInbox}))
		st.start(p, request(1, "HoldStream", flagRemoteOpen, nil))
		for i := 0; i <= smallInbox/inboxOverhead+1; i++ {
			p.send(data(1, 0, nil))
		}
		p.wantNothing("the inbox is full")
		time.Sleep(time.Second)
		p.wantStatus("the limit", 1, codes.ResourceExhausted)
	})
}

// The same for a client.
func TestClientSlowConsumer(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, p := clientPeer(t, WithClientLimits(Limits{MaxStreamBuffer: smallInbox}))
		cs := open(t, context.Background(), c, bidi, nil)
		p.next("the request")
		call := goCall(t, context.Background(), c, text("x"))
		p.next("the call")
		start := time.Now()
		p.send(fill(1), fill(1), fill(1), response(3, text("behind")))
		synctest.Wait()
		time.Sleep(time.Second - tick)
		call.wantPending("reading is paused")
		time.Sleep(tick + time.Millisecond)
		call.wantValue("reading goes on", "behind")
		wantElapsed(t, "reading goes on", start, time.Second)
		wantNoStreams(t, c)
		if err := cs.SendMsg(text("x")); !errors.Is(err, ErrStreamFull) {
			t.Errorf("SendMsg on the stream that failed: got %v, want ErrStreamFull", err)
		}
		p.send(fill(1), response(1, text("late")))
		for i := 0; i < 2; i++ {
			wantMsg(t, cs, "what is there can be received", strings.Repeat("f", filler))
		}
		wantEnd(t, cs, "then the error", errNotReceived)
	})
}

func TestClientSlowConsumers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		const streams = 5
		c, p := clientPeer(t, WithClientLimits(Limits{MaxStreamBuffer: smallInbox}))
		ctx, cancel := context.WithCancel(context.Background())
		var css []ClientStream
		for i := 0; i < streams; i++ {
			css = append(css, open(t, ctx, c, bidi, nil))
			p.next("a request")
		}
		slow := open(t, ctx, c, bidi, nil)
		p.next("a request")
		call := goCall(t, ctx, c, text("x"))
		p.next("the call")
		start := time.Now()
		for i := 0; i < streams+1; i++ {
			id := streamID(2*i + 1)
			p.send(fill(id), fill(id))
		}
		for i := 0; i < streams+1; i++ {
			p.send(fill(streamID(2*i + 1)))
		}
		p.send(response(2*streams+3, text("behind")))
		time.Sleep(time.Second / 2)
		wantMsg(t, slow, "this one is read while reading is paused", strings.Repeat("f", filler))
		call.wantPending("reading is paused")
		time.Sleep(time.Second/2 + time.Millisecond)
		call.wantValue("the call behind", "behind")
		wantElapsed(t, "the call behind", start, time.Second)
		for _, cs := range css {
			wantMsg(t, cs, "what was there", strings.Repeat("f", filler))
			wantMsg(t, cs, "what was there", strings.Repeat("f", filler))
			wantEnd(t, cs, "a stream that was not read", errNotReceived)
		}
		wantMsg(t, slow, "the slow one goes on", strings.Repeat("f", filler))
		wantMsg(t, slow, "the slow one goes on", strings.Repeat("f", filler))
		cancel()
		synctest.Wait()
	})
}

// Close while reading is paused.
func TestCloseWhilePaused(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, p := clientPeer(t, WithClientLimits(Limits{MaxStreamBuffer: smallInbox}))
		cs := open(t, context.Background(), c, bidi, nil)
		p.next("the request")
		p.send(fill(1), fill(1), fill(1))
		synctest.Wait()
		start := time.Now()
		c.Close()
		p.wantClosed("Close does not wait for the limit")
		wantElapsed(t, "Close", start, 0)
		wantMsg(t, cs, "what is there can be received", strings.Repeat("f", filler))
		wantMsg(t, cs, "what is there can be received", strings.Repeat("f", filler))
		wantEnd(t, cs, "then the end", ErrClosed)
	})
}
