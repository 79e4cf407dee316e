//go:build go1.25

package ttrpc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Limits of time, with a clock that is exact: those on slow consumers, on
// connections that cannot write, that are closed, that drain, that shake hands.

// tick is less than any limit, and more than the time in which the server notices
// that a handler is slow.
const tick = 5 * time.Millisecond

// wantElapsed checks that it is about d after start.
func wantElapsed(t *testing.T, why string, start time.Time, d time.Duration) {
	t.Helper()
	if got := time.Since(start); got < d-tick || got > d+tick {
		t.Errorf("%s: after %v, want %v", why, got, d)
	}
}

const (
	smallInbox = 2000
	filler     = 600 // bytes of a message, of which two fill a small inbox
)

func fill(id streamID) rawFrame { return data(id, 0, text(strings.Repeat("f", filler))) }

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
		p.wantNothing("what still comes for it is dropped")
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

// clogged returns a client whose server reads nothing: its pipe is full, and so
// is its write queue.
func clogged(t *testing.T) (c *Client, far *memConn, waiting []*clientCall) {
	near, far := memPipe(100)
	c = NewClient(near, WithClientLimits(Limits{MaxPendingWrite: 500}))
	t.Cleanup(func() { c.Close() })
	for i := 0; i < 3; i++ {
		waiting = append(waiting, goCall(t, context.Background(), c, text(strings.Repeat("x", 400))))
		synctest.Wait()
	}
	return c, far, waiting
}

// No caller blocks in a write: not on its own message, and not on others'.
func TestClientBlockedWrite(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, far, waiting := clogged(t)
		start := time.Now()
		ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
		defer cancel()
		calls := []*clientCall{
			goCall(t, ctx, c, text("small")),
			goCall(t, ctx, c, text(strings.Repeat("x", 1000))),
		}
		if _, err := c.NewStream(ctx, bidi, testService, "EchoStream", nil); err != context.DeadlineExceeded {
			t.Errorf("NewStream: got %v, want DeadlineExceeded", err)
		}
		for _, call := range calls {
			if err := call.err("at the deadline"); err != context.DeadlineExceeded {
				t.Errorf("Call: got %v, want DeadlineExceeded", err)
			}
		}
		wantElapsed(t, "the deadline", start, 100*time.Millisecond)

		// When the server reads again all of the others go out.
		p := &peer{t: t, conn: far}
		for i, call := range waiting {
			id := streamID(2*i + 1)
			p.wantRequest("what waited", id, 0)
			p.send(response(id, text("done")))
			call.wantValue("what waited", "done")
		}
		goCall(t, ctx, c, text("x")).err("an ended context")
		p.wantNothing("what was given up was not sent")
		c.Close()
	})
}

// Many senders may wait for room, and each may give up.
func TestClientWaitersGiveUp(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, far, waiting := clogged(t)
		ctx, cancel := context.WithCancel(context.Background())
		var givenUp, kept []*clientCall
		for i := 0; i < 20; i++ {
			kept = append(kept, goCall(t, context.Background(), c, text(fmt.Sprint(i))))
			givenUp = append(givenUp, goCall(t, ctx, c, text(strings.Repeat("y", 100*i))))
		}
		synctest.Wait()
		cancel()
		for _, call := range givenUp {
			if err := call.err("given up"); err != context.Canceled {
				t.Errorf("given up: got %v, want Canceled", err)
			}
		}
		p := &peer{t: t, conn: far}
		for i := 0; i < len(waiting)+len(kept); i++ {
			p.wantRequest("those that did not give up", streamID(2*i+1), 0)
		}
		p.wantNothing("and nothing else")
		c.Close()
		for _, call := range append(waiting, kept...) {
			if err := call.err("closed"); err != ErrClosed {
				t.Errorf("got %v, want ErrClosed", err)
			}
		}
	})
}

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

// The server reads no more while too many of its replies to refused frames wait:
// they take a bounded amount of memory, and a peer that reads none of them for
// replyTimeout loses its connection.
func TestServerRepliesUnread(t *testing.T) {
	for name, bad := range map[string]rawFrame{
		"even id":        {id: 2, typ: messageTypeRequest},
		"unknown method": request(1, "NoMethod", 0, nil),
		"no stream":      data(1<<32-1, 0, nil),
	} {
		bad := bad
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				st := newServerTest(t, WithServerLogger(&testLogger{}))
				near, far := memPipe(1000)
				st.l.hand(far)
				if bad.typ == messageTypeData {
					bad.id = 1
				}
				b := bad.encode()
				start := time.Now()
				sent := 0
				for ; sent < 1<<20; sent++ {
					if _, err := near.Write(b); err != nil {
						break
					}
					if bad.typ == messageTypeData {
						bad.id += 2
						b = bad.encode()
					}
				}
				near.Close()
				reply := len(failure(1, codes.InvalidArgument, "no stream 1").encode())
				if sent*reply > 4*replyLimit {
					t.Errorf("the server took %d bad frames before it closed the connection", sent)
				}
				// Twice as long when the last write of all ends as the wait begins.
				if d := time.Since(start); d < replyTimeout-tick || d > 2*replyTimeout+tick {
					t.Errorf("the connection is closed after %v, want %v", d, replyTimeout)
				}
			})
		})
	}
}

// A peer that reads no replies and goes away is gone at once: a goroutine that waits for
// them to be written hears that they cannot be.
func TestServerRepliesUnwritten(t *testing.T) {
	bubble(t, func(t *testing.T) {
		st := newServerTest(t, WithServerLogger(&testLogger{}))
		near, far := memPipe(1000)
		st.l.hand(far)
		sent := goErr(func() error {
			b := request(1, "NoMethod", 0, nil).encode()
			for {
				if _, err := near.Write(b); err != nil {
					return err
				}
			}
		})
		synctest.Wait()
		start := time.Now()
		near.Close()
		<-sent
		waitFor(t, "the connection's end", func() bool {
			st.server.mu.Lock()
			defer st.server.mu.Unlock()
			return len(st.server.conns) == 0
		})
		if d := time.Since(start); d > 100*time.Millisecond {
			t.Errorf("the connection is over after %v", d)
		}
	})
}

// A peer that reads slowly, but all the time, keeps its connection, with any frames
// that it sends.
func TestServerRepliesReadSlowly(t *testing.T) {
	bubble(t, func(t *testing.T) {
		st := newServerTest(t, WithServerLogger(&testLogger{}))
		near, far := memPipe(1000)
		st.l.hand(far)
		const limit = time.Minute
		over := make(chan time.Duration, 1)
		start := time.Now()
		go func() { // 40 kB a second
			buf := make([]byte, 1000)
			for {
				if _, err := near.Read(buf); err != nil {
					over <- time.Since(start)
					return
				}
				time.Sleep(25 * time.Millisecond)
			}
		}()
		id := streamID(1)
		for i := 0; i < 60; i++ { // responses of a megabyte in all
			near.Write(request(id, "Echo", 0, text(strings.Repeat("x", 16000))).encode())
			id += 2
		}
		for i := 0; i < 2000; i++ { // and refused frames
			if _, err := near.Write(request(id, "NoMethod", 0, nil).encode()); err != nil {
				break
			}
			id += 2
		}
		time.Sleep(limit)
		near.Close()
		if took := <-over; took < limit {
			t.Errorf("the connection was closed after %v", took)
		}
	})
}

// Handlers wait for a peer that does not read; the write queue is
// bounded, and the end of the connection ends them all.
func TestServerResponsesUnread(t *testing.T) {
	bubble(t, func(t *testing.T) {
		st := newServerTest(t, WithServerLimits(Limits{MaxPendingWrite: 10 << 10}))
		near, far := memPipe(1000)
		st.l.hand(far)
		var frames []byte
		const calls = 100
		for i := 0; i < calls; i++ {
			frames = append(frames, request(streamID(2*i+1), "Echo", 0, text(strings.Repeat("x", 1000))).encode()...)
		}
		go near.Write(frames)
		time.Sleep(time.Second)
		var sc *serverConn
		st.server.mu.Lock()
		for sc = range st.server.conns {
		}
		st.server.mu.Unlock()
		if n, _ := sc.conn.ch.w.room.load(); n > 12<<10 {
			t.Errorf("%d bytes wait to be written, over a limit of 10 KiB and a message", n)
		}
		near.Close()
		synctest.Wait()
		if n := sc.running.Load(); n != 0 {
			t.Errorf("%d handlers still run", n)
		}
	})
}

// Shutdown lets the calls that run end, and refuses new ones.
func TestServerShutdown(t *testing.T) {
	bubble(t, func(t *testing.T) {
		st := newServerTest(t)
		idle, busy := st.dial(), st.dial()
		idle.alive("the idle connection", 1)
		time.Sleep(farewell) // it is idle for longer than that
		unary := st.start(busy, request(1, "Hold", 0, nil))
		stream := st.start(busy, request(3, "HoldStream", flagRemoteOpen, nil))
		done := make(chan error, 1)
		go func() { done <- st.server.Shutdown(context.Background()) }()
		idle.wantClosed("Shutdown closes what is idle")
		busy.send(request(5, "Echo", 0, text("new")))
		busy.wantStatus("a new call", 5, codes.Unavailable)
		time.Sleep(time.Hour)
		busy.send(data(3, 0, text("still")))
		stream.wantRecv(t, "a stream goes on", "still")
		if err := stream.ss.SendMsg(text("there")); err != nil {
			t.Error(err)
		}
		busy.want("in both directions", data(3, 0, text("there")))
		unary.returns(text("done"), nil)
		busy.want("its response is delivered", response(1, text("done")))
		select {
		case err := <-done:
			t.Fatalf("Shutdown returned while a call runs: %v", err)
		default:
		}
		stream.returns(text("last"), nil)
		busy.want("the last call's end", data(3, flagRemoteClosed, text("last")))
		time.Sleep(farewell - time.Millisecond)
		if busy.conn.ended() {
			t.Error("the connection was closed before the client had time for the last response")
		}
		time.Sleep(time.Millisecond)
		busy.wantClosed("after the last call")
		if err := <-done; err != nil {
			t.Errorf("Shutdown: %v", err)
		}
		if st.l.dial() != nil {
			t.Error("a connection was accepted after Shutdown")
		}
	})
}

// Shutdown waits until the last response is written, for a client that is slow
// to read it, but not for longer than its context.
func TestServerShutdownUnread(t *testing.T) {
	bubble(t, func(t *testing.T) {
		st := newServerTest(t)
		near, far := memPipe(100)
		st.l.hand(far)
		p := &peer{t: t, conn: near}
		call := st.start(p, request(1, "Hold", 0, nil))
		call.returns(text(strings.Repeat("x", 1000)), nil)
		st.wantStreams("the call has ended", 0)
		start := time.Now()
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := st.server.Shutdown(ctx); err != context.DeadlineExceeded {
			t.Errorf("Shutdown: got %v, want DeadlineExceeded", err)
		}
		wantElapsed(t, "Shutdown", start, time.Minute)
		p.want("the response", response(1, text(strings.Repeat("x", 1000))))
		time.Sleep(farewell)
		p.wantClosed("and then the end")
		if err := st.server.Shutdown(context.Background()); err != nil {
			t.Errorf("Shutdown again: %v", err)
		}
	})
}

func TestServerClose(t *testing.T) {
	bubble(t, func(t *testing.T) {
		st := newServerTest(t)
		p := st.dial()
		unary := st.start(p, request(1, "Hold", 0, nil))
		stream := st.start(p, request(3, "HoldStream", flagRemoteOpen, nil))
		if err := st.server.Close(); err != nil {
			t.Error(err)
		}
		for _, call := range []*heldCall{unary, stream} {
			if err := call.ctx.Err(); err != context.Canceled {
				t.Errorf("a handler's context: got %v, want Canceled", err)
			}
		}
		stream.wantRecvErr(t, "a stream", ErrClosed)
		p.wantClosed("Close")
		unary.returns(text("late"), nil)
		stream.returns(text("late"), nil)
	})
}

// A deadline travels with the call, and ends the handler's context when its time
// has come.
func TestServerDeadline(t *testing.T) {
	for _, method := range []string{"Hold", "HoldStream"} {
		method := method
		bubble(t, func(t *testing.T) {
			st, p := serverPeer(t)
			start := time.Now()
			call := st.start(p, requestFrame(1, kindOf(method), &Request{Service: testService, Method: method, TimeoutNano: int64(time.Second)}))
			if d, ok := call.ctx.Deadline(); !ok || d.Sub(start) != time.Second {
				t.Errorf("%s: the deadline is %v, %v", method, d.Sub(start), ok)
			}
			if err := call.ctx.Err(); err != nil {
				t.Errorf("%s: before the deadline: %v", method, err)
			}
			derived, cancel := context.WithCancel(call.ctx)
			defer cancel()
			<-derived.Done()
			<-call.ctx.Done()
			wantElapsed(t, method, start, time.Second)
			if call.ctx.Err() != context.DeadlineExceeded || derived.Err() != context.DeadlineExceeded {
				t.Errorf("%s: got %v and %v, want DeadlineExceeded", method, call.ctx.Err(), derived.Err())
			}
			call.returns(nil, call.ctx.Err())
			p.wantStatus("the handler's error", 1, codes.DeadlineExceeded)
		})
	}
}

// A handler hears of the end of its context from SendMsg and RecvMsg, whether it looks
// at the context or not, and though there is room and the client goes on sending.
func TestServerStreamAfterDeadline(t *testing.T) {
	for _, look := range []bool{false, true} {
		look := look
		bubble(t, func(t *testing.T) {
			st, p := serverPeer(t)
			call := st.start(p, requestFrame(1, flagRemoteOpen, &Request{Service: testService, Method: "HoldStream", TimeoutNano: int64(time.Second)}))
			if look {
				call.ctx.Done()
			}
			if err := call.ss.SendMsg(text("in time")); err != nil {
				t.Fatal(err)
			}
			p.want("before the deadline", data(1, 0, text("in time")))
			time.Sleep(time.Second)
			for i := 0; i < 3; i++ {
				p.send(data(1, 0, text("unheard")))
				synctest.Wait()
				if err := call.ss.SendMsg(text("late")); err != context.DeadlineExceeded {
					t.Errorf("looked %v: SendMsg: got %v, want DeadlineExceeded", look, err)
				}
				call.wantRecvErr(t, "after the deadline", context.DeadlineExceeded)
			}
			p.wantNothing("after the deadline")
			// The end of the stream says more.
			p.send(data(1, flagRemoteClosed|flagNoData, nil))
			synctest.Wait()
			for i := 0; i < 3; i++ {
				call.wantRecv(t, "from before the client's end", "unheard")
			}
			call.wantRecvErr(t, "the client's end", io.EOF)
			call.returns(nil, context.DeadlineExceeded)
			p.wantStatus("the handler's error", 1, codes.DeadlineExceeded)
			p.alive("after", 3)
		})
	}
}

// Whether Serve's context ended before a call's deadline is known also where nobody
// looked in the meantime, be it that the call had begun by then or not.
func TestServerContextBeforeDeadline(t *testing.T) {
	bubble(t, func(t *testing.T) {
		handlers, over := make(chan context.Context, 2), make(chan struct{})
		s, err := NewServer()
		if err != nil {
			t.Fatal(err)
		}
		s.Register(testService, map[string]Method{"Wait": func(ctx context.Context, _ func(any) error) (any, error) {
			handlers <- ctx
			<-over
			return &KeyValue{}, nil
		}})
		l := newMemListener(0)
		ctx, end := context.WithCancelCause(context.Background())
		defer end(nil)
		served := make(chan error, 1)
		go func() { served <- s.Serve(ctx, l) }()
		p := &peer{t: t, conn: l.dial()}
		why := errors.New("why")
		for _, id := range []streamID{1, 3} {
			p.send(requestFrame(id, 0, &Request{Service: testService, Method: "Wait", TimeoutNano: int64(time.Second)}))
			synctest.Wait()
			end(why)
			time.Sleep(2 * time.Second)
			handler := <-handlers
			if err, cause := handler.Err(), context.Cause(handler); err != context.Canceled || cause != why {
				t.Errorf("call %d: got %v, %v, want Canceled and the cause of Serve's context", id, err, cause)
			}
		}
		close(over)
		p.conn.Close()
		s.Close()
		<-served
	})
}

func TestServerOddDeadlines(t *testing.T) {
	bubble(t, func(t *testing.T) {
		st, p := serverPeer(t)
		for i, test := range []struct {
			timeout int64
			ok      bool
			err     error
		}{
			{0, false, nil},
			{-1, true, context.DeadlineExceeded},
			{-1 << 63, true, context.DeadlineExceeded},
			{1, true, nil},
			{1<<63 - 1, true, nil},
		} {
			id := streamID(2*i + 1)
			call := st.start(p, requestFrame(id, 0, &Request{Service: testService, Method: "Hold", TimeoutNano: test.timeout}))
			if _, ok := call.ctx.Deadline(); ok != test.ok {
				t.Errorf("timeout %d: there is a deadline: %v, want %v", test.timeout, ok, test.ok)
			}
			if err := call.ctx.Err(); err != test.err {
				t.Errorf("timeout %d: the context's error is %v, want %v", test.timeout, err, test.err)
			}
			call.returns(text(""), nil)
			p.want("the call ends", response(id, text("")))
		}
	})
}

// handshakerFunc is a Handshaker.
type handshakerFunc func(context.Context, net.Conn) (net.Conn, any, error)

func (f handshakerFunc) Handshake(ctx context.Context, nc net.Conn) (net.Conn, any, error) {
	return f(ctx, nc)
}

// passwordHandshake waits for a byte, as a handshake that needs the peer does.
func passwordHandshake(_ context.Context, nc net.Conn) (net.Conn, any, error) {
	var b [1]byte
	if _, err := io.ReadFull(nc, b[:]); err != nil {
		return nil, nil, err
	}
	if b[0] != 'p' {
		return nil, nil, errors.New("wrong password")
	}
	return nc, "somebody", nil
}

// A handshake that hangs holds up nobody, and ends at its limit.
func TestHandshakeHangs(t *testing.T) {
	for name, opts := range map[string][]ServerOpt{
		"default": nil,
		"option":  {WithServerHandshakeTimeout(2 * time.Second)},
	} {
		opts, limit := opts, defaultHandshakeTimeout
		if opts != nil {
			limit = 2 * time.Second
		}
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				log := &testLogger{}
				st := newServerTest(t, append(opts, WithServerHandshaker(handshakerFunc(passwordHandshake)), WithServerLogger(log))...)
				start := time.Now()
				silent := st.dial()
				for i := 0; i < 3; i++ {
					p := st.dial()
					p.sendBytes([]byte("p"))
					p.alive("another connection", 1)
				}
				wrong := st.dial()
				wrong.sendBytes([]byte("x"))
				wrong.wantClosed("the wrong password")
				time.Sleep(time.Until(start.Add(limit - 2*tick)))
				silent.wantNothing("before the limit")
				time.Sleep(2 * tick)
				silent.wantClosed("the limit")
				log.want(t, "wrong password", "refused")
			})
		})
	}
}

// A handshaker that waits for its context alone.
func TestHandshakeContext(t *testing.T) {
	hang := handshakerFunc(func(ctx context.Context, nc net.Conn) (net.Conn, any, error) {
		<-ctx.Done()
		return nc, nil, nil // too late to be any good
	})
	for name, end := range map[string]struct {
		f     func(*Server)
		after time.Duration
	}{
		"limit":    {func(*Server) {}, defaultHandshakeTimeout},
		"Close":    {func(s *Server) { s.Close() }, 0},
		"Shutdown": {func(s *Server) { s.Shutdown(context.Background()) }, 0},
	} {
		end := end
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				st, p := serverPeer(t, WithServerHandshaker(hang), WithServerLogger(&testLogger{}))
				synctest.Wait()
				start := time.Now()
				end.f(st.server)
				time.Sleep(end.after)
				p.wantClosed(name)
				wantElapsed(t, name, start, end.after)
				st.server.mu.Lock()
				defer st.server.mu.Unlock()
				if n := len(st.server.conns); n > 0 {
					t.Errorf("the server still knows %d connections", n)
				}
			})
		})
	}
}

// wrappedConn is the result of a handshake such as TLS in place of its argument.
type wrappedConn struct {
	net.Conn
	closed chan struct{} // closed by Close
}

func (c *wrappedConn) Close() error {
	close(c.closed)
	return c.Conn.Close()
}

func TestHandshakeReplacesConn(t *testing.T) {
	bubble(t, func(t *testing.T) {
		closed := make(chan struct{})
		st, p := serverPeer(t, WithServerHandshaker(handshakerFunc(func(_ context.Context, nc net.Conn) (net.Conn, any, error) {
			return &wrappedConn{nc, closed}, "somebody", nil
		})))
		call := st.start(p, request(1, "Hold", 0, nil))
		if who, ok := PeerFromContext(call.ctx); who != "somebody" || !ok {
			t.Errorf("PeerFromContext: got %v, %v", who, ok)
		}
		call.returns(nil, status.Error(codes.Aborted, ""))
		p.wantStatus("over the connection that the handshaker returned", 1, codes.Aborted)
		p.conn.Close()
		<-closed
	})
}
