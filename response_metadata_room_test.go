//go:build go1.25

package ttrpc

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
)

// fullQueue is as much room as the queue of a connection has.
const fullQueue = 1 << 20

// A header waits for room in the connection's queue, and stays set if the wait ends early.
func TestHeaderWaitsForRoom(t *testing.T) {
	bubble(t, func(t *testing.T) {
		st, p := serverPeer(t)
		p.extend()
		call := st.start(p, request(3, "Hold", 0, nil))
		room := &testPairConn(t, st.server).conn.ch.w.room
		room.overdraw(fullQueue)
		ctx, cancel := context.WithTimeout(call.ctx, time.Second)
		defer cancel()
		if err := SendHeader(ctx, MD{"h": {"1"}}); err != context.DeadlineExceeded {
			t.Errorf("without room: got %v", err)
		}
		if err := SetHeader(call.ctx, MD{"h": {"2"}}); err != nil {
			t.Errorf("a header that was not sent: %v", err)
		}
		room.give(fullQueue)
		p.wantNothing("a header without room")
		call.returns(text("x"), nil)
		p.want("the response", metadataOf(3, metadataHeader, MD{"h": {"1", "2"}}), response(3, text("x")))
	})
}

// A handler whose context no cancel frame ends does not notice one while it waits for room.
func TestHeaderWaitsForRoomOfNobody(t *testing.T) {
	bubble(t, func(t *testing.T) {
		st, p := serverPeer(t, WithServerCancellation(CancelNone))
		p.extend()
		call := st.start(p, request(3, "HoldStream", flagRemoteOpen, nil))
		room := &testPairConn(t, st.server).conn.ch.w.room
		room.overdraw(fullQueue)
		if err := SetHeader(call.ctx, MD{"h": {"1"}}); err != nil {
			t.Fatal(err)
		}
		sent := goErr(func() error { return call.ss.SendMsg(text("x")) })
		synctest.Wait()
		p.send(frameOf(cancellation{id: 3, code: codes.Canceled}.frame()))
		if err := <-sent; err != nil {
			t.Errorf("a message to a client that has given up: got %v", err)
		}
		if err := SendHeader(call.ctx, MD{"h": {"1"}}); err != nil {
			t.Errorf("a header to a client that has given up: got %v", err)
		}
		room.give(fullQueue)
		call.returns(nil, nil)
		p.wantNothing("after a cancel frame")
	})
}

// A message follows a header that fills the connection's queue.
func TestMessageAfterHeaderThatFillsQueue(t *testing.T) {
	bubble(t, func(t *testing.T) {
		header := MD{"h": {"1"}}
		st, p := serverPeer(t, WithServerLimits(Limits{MaxPendingWrite: 1}))
		p.extend()
		call := st.start(p, request(3, "HoldStream", flagRemoteOpen|flagNoData, nil))
		if err := SetHeader(call.ctx, header); err != nil {
			t.Fatal(err)
		}
		sent := goErr(func() error { return call.ss.SendMsg(text("x")) })
		p.want("a header and a message", metadataOf(3, metadataHeader, header), data(3, 0, text("x")))
		if err := <-sent; err != nil {
			t.Error(err)
		}
		call.returns(nil, nil)
		p.want("the end", data(3, flagRemoteClosed|flagNoData, nil))
	})
}
