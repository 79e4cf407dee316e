//go:build go1.25

package ttrpc

import (
	"context"
	"errors"
	"io"
	"runtime"
	"sort"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
)

// cancelFrame returns a cancel frame.
func cancelFrame(id streamID, code codes.Code) rawFrame {
	return frameOf(cancellation{id: id, code: code}.frame())
}

// A client sends one cancel frame for each call and stream that it gives up before the
// final frame, and for no other.
func TestClientCancels(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, p := clientPeer(t, WithClientLimits(Limits{MaxMessageLength: 8 << 10}))
		p.extendClient(c)

		ctx, cancel := context.WithCancel(context.Background())
		call := goCall(t, ctx, c, text("x"))
		p.wantRequest("a call", 3, 0)
		cancel()
		p.want("its context ends", cancelFrame(3, codes.Canceled))
		if err := call.err("cancelled"); err != context.Canceled {
			t.Errorf("the call got %v", err)
		}
		p.send(response(3, text("late")))
		p.wantNothing("an answer that is late")

		ctx, cancel = context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		cs := open(t, ctx, c, bidi, nil)
		p.wantRequest("a stream", 5, flagRemoteOpen|flagNoData)
		time.Sleep(time.Second)
		p.want("its deadline has passed", cancelFrame(5, codes.DeadlineExceeded))
		wantEnd(t, cs, "the deadline", context.DeadlineExceeded)

		call = goCall(t, context.Background(), c, text("x"))
		p.wantRequest("a call", 7, 0)
		p.send(data(7, 0, text("x")))
		p.want("data on a unary call", cancelFrame(7, codes.Canceled))
		if err := call.err("data"); !errors.Is(err, ErrProtocol) {
			t.Errorf("data on a unary call: got %v", err)
		}

		cs = open(t, context.Background(), c, fromServer, text("x"))
		p.wantRequest("a stream", 9, flagRemoteClosed)
		p.send(data(9, 0, text(strings.Repeat("x", 8<<10))))
		p.want("data that is too long", cancelFrame(9, codes.Canceled))
		if _, err := recvNow(cs); !errors.As(err, new(*OversizedMessageErr)) {
			t.Errorf("too long: got %v", err)
		}

		cs = open(t, context.Background(), c, fromServer, text("x"))
		p.wantRequest("a stream", 11, flagRemoteClosed)
		p.send(data(11, flagRemoteClosed, text(strings.Repeat("x", 8<<10))))
		p.wantNothing("a final frame that is too long")
		if _, err := recvNow(cs); !errors.As(err, new(*OversizedMessageErr)) {
			t.Errorf("too long: got %v", err)
		}

		ctx, cancel = context.WithCancel(context.Background())
		cs = open(t, ctx, c, fromServer, text("x"))
		p.wantRequest("a stream", 13, flagRemoteClosed)
		p.send(data(13, flagRemoteClosed|flagNoData, nil))
		p.wantNothing("the end")
		cancel()
		p.wantNothing("a context that ends after the final frame")
		wantEnd(t, cs, "the end", io.EOF)
		wantNoStreams(t, c)
	})
}

// Without the feature on both sides no cancel frame is sent.
func TestClientCancelsNotUnasked(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, p := clientPeer(t)
		s := defaultConnConfig.settings()
		s.features &^= featureCancel
		p.extendClientBy(c, s)
		ctx, cancel := context.WithCancel(context.Background())
		goCall(t, ctx, c, text("x"))
		p.wantRequest("a call", 3, 0)
		cancel()
		p.wantNothing("the context of a call ends")
	})
}

// A cancel frame ends the contexts that the mode names. No frame follows on the stream, and
// the call stays in the table until its handler returns.
func TestServerCancelled(t *testing.T) {
	for mode := CancelNone; mode <= CancelAll; mode++ {
		for _, method := range []string{"Hold", "HoldStream", "HoldServer", "HoldClient"} {
			t.Run(mode.String()+method, func(t *testing.T) {
				bubble(t, func(t *testing.T) { testServerCancelled(t, mode, method) })
			})
		}
	}
}

func testServerCancelled(t *testing.T, mode CancelMode, method string) {
	st, p := serverPeer(t, WithServerCancellation(mode))
	p.extend()
	call := st.start(p, request(3, method, kindOf(method), text("x")))
	gone := ClientGone(call.ctx)
	if isClosed(gone) || call.ctx.Err() != nil {
		t.Fatal("the client is gone before it is")
	}
	p.send(cancelFrame(5, codes.Canceled)) // of another stream
	p.wantNothing("a stream that is not known")
	if isClosed(gone) {
		t.Fatal("a cancel frame of another stream")
	}
	p.send(cancelFrame(3, codes.Canceled), cancelFrame(3, codes.DeadlineExceeded))
	p.send(data(3, 0, text("late")), data(3, flagRemoteClosed, text("late")), data(3, 0, text("late")))
	p.wantNothing("cancelled")
	if !isClosed(gone) || !isClosed(ClientGone(call.ctx)) {
		t.Error("ClientGone does not tell")
	}
	ends := mode == CancelAll || mode == CancelStreams && method != "Hold"
	if got := call.ctx.Err() == context.Canceled; got != ends {
		t.Errorf("the context ended: %v, want %v", got, ends)
	}
	if ends && context.Cause(call.ctx) != errCallerGone {
		t.Errorf("the cause is %v", context.Cause(call.ctx))
	}
	if call.ss != nil {
		if mode == CancelNone {
			call.wantRecv(t, "from before", "x")
		}
		if method != "HoldServer" {
			call.wantRecvErr(t, "cancelled", context.Canceled)
		}
		err := call.ss.SendMsg(text("x"))
		if mode == CancelNone && err != nil || mode != CancelNone && !errors.Is(err, context.Canceled) {
			t.Errorf("SendMsg: got %v", err)
		}
	}
	st.wantStreams("the handler runs", 1)
	if n := testPairConn(t, st.server).running.Load(); n != 1 {
		t.Errorf("%d calls count, want 1", n)
	}
	call.returns(text("result"), nil)
	st.wantStreams("the handler has returned", 0)
	p.wantNothing("its answer is dropped")
	p.alive("after all", 5)
}

// A client sends its last message and then gives up: the handler receives all messages and
// the end, in every mode.
func TestServerCancelledAfterLast(t *testing.T) {
	for mode := CancelNone; mode <= CancelAll; mode++ {
		bubble(t, func(t *testing.T) {
			st, p := serverPeer(t, WithServerCancellation(mode))
			p.extend()
			call := st.start(p, request(3, "HoldStream", flagRemoteOpen|flagNoData, nil))
			p.send(data(3, 0, text("a")), data(3, flagRemoteClosed, text("b")), cancelFrame(3, codes.Canceled))
			p.wantNothing("cancelled")
			for _, value := range []string{"a", "b"} {
				call.wantRecv(t, mode.String(), value)
			}
			call.wantRecvErr(t, mode.String(), io.EOF)
			call.returns(nil, nil)
		})
	}
}

// Some cancel frames break the rules.
func TestServerCancelFrames(t *testing.T) {
	bubble(t, func(t *testing.T) {
		st, p := serverPeer(t)
		call := st.start(p, request(3, "HoldStream", flagRemoteOpen, nil))
		p.send(cancelFrame(3, codes.Canceled))
		p.want("without negotiation", failure(0, codes.InvalidArgument, "stream id 0 is not odd, as a client's must be"))
		p.extend()
		long := cancelFrame(5, codes.Canceled)
		long.body = append(long.body, "later"...)
		p.send(long)
		p.wantNothing("bytes of a later version")
		if isClosed(ClientGone(call.ctx)) {
			t.Error("cancelled by another stream's")
		}
		p.send(rawFrame{typ: messageTypeCancel, body: make([]byte, cancellationLength-1)})
		p.wantClosed("too short")
	})
}

// A cancel reaches the handler, and 10,000 abandoned streams leave nothing on either side.
func TestCancelReachesHandler(t *testing.T) {
	ended := make(chan time.Time, 1)
	desc := echoMethods()
	desc.Streams["Wait"] = Stream{StreamingServer: true, Handler: func(ctx context.Context, _ StreamServer) (any, error) {
		<-ctx.Done()
		ended <- time.Now()
		return nil, ctx.Err()
	}}
	c, _ := newTestPair(t, desc)
	if err := echo(testContext(t), c, "x"); err != nil {
		t.Fatal(err)
	}
	var took, calls []time.Duration
	for i := 0; i < 300; i++ {
		ctx, cancel := context.WithCancel(testContext(t))
		if _, err := c.NewStream(ctx, fromServer, testService, "Wait", text("x")); err != nil {
			t.Fatal(err)
		}
		called := time.Now()
		if err := echo(testContext(t), c, "x"); err != nil { // the handler has begun
			t.Fatal(err)
		}
		start := time.Now()
		calls = append(calls, start.Sub(called))
		cancel()
		took = append(took, within(t, "the end of the handler's context", ended).Sub(start))
	}
	median := medianOf(took)
	t.Logf("median %v, that of a call beside it %v", median, medianOf(calls))
	// On an overloaded machine, no longer than a call takes.
	if most := max(time.Millisecond, medianOf(calls)); median > most {
		t.Errorf("a cancel reaches the handler in %v, at most %v", median, most)
	}
}

func TestAbandonedStreams(t *testing.T) {
	const streams = 10_000
	var handlers sync.WaitGroup
	desc := echoMethods()
	desc.Streams["Wait"] = Stream{StreamingServer: true, Handler: func(ctx context.Context, _ StreamServer) (any, error) {
		defer handlers.Done()
		<-ctx.Done()
		return nil, ctx.Err()
	}}
	c, s := newTestPair(t, desc)
	if err := echo(testContext(t), c, "x"); err != nil {
		t.Fatal(err)
	}
	handlers.Add(streams)
	ctx, cancel := context.WithCancel(testContext(t))
	opening := time.Now()
	kept := make([]ClientStream, streams) // the collector gives up streams that nobody has
	for i := range kept {
		var err error
		if kept[i], err = c.NewStream(ctx, fromServer, testService, "Wait", text("x")); err != nil {
			t.Fatal(err)
		}
	}
	sc := testPairConn(t, s)
	waitFor(t, "the handlers to begin", func() bool { return sc.running.Load() == streams })
	start := time.Now()
	opened := start.Sub(opening)
	cancel()
	handlers.Wait()
	runtime.KeepAlive(kept)
	waitFor(t, "the tables to become empty", func() bool {
		ours, _ := tableOf(c.conn)
		theirs, _ := tableOf(sc.conn)
		return ours+theirs == 0 && sc.running.Load() == 0
	})
	took := time.Since(start)
	t.Logf("%d streams took %v, and %v to open", streams, took, opened)
	// On an overloaded machine, no longer than it takes to open them.
	if most := max(time.Second, opened); took > most && !raceEnabled && !emulated() {
		t.Errorf("%d abandoned streams took %v to leave nothing, at most %v", streams, took, most)
	}
	if err := echo(testContext(t), c, "x"); err != nil {
		t.Errorf("after that: %v", err)
	}
}

// medianOf sorts durations and returns the one in the middle.
func medianOf(durations []time.Duration) time.Duration {
	sort.Slice(durations, func(i, j int) bool { return durations[i] < durations[j] })
	return durations[len(durations)/2]
}
