//go:build go1.25

package ttrpc

import (
	"context"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
)

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
