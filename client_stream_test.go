package ttrpc

import (
	"context"
	"io"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Calls and streams that are given up are not in the client's table any more, and later
// frames for them are dropped.
func TestCancelledLeavesTable(t *testing.T) {
	c, w := wireClient(t)
	var ids []streamID
	for i := 0; i < 10; i++ {
		ctx, cancel := context.WithCancel(context.Background())
		call := goErr(func() error { return c.Call(ctx, testService, "Echo", &KeyValue{}, &KeyValue{}) })
		h, _ := w.readRequest()
		ids = append(ids, h.id)
		cs, err := c.NewStream(ctx, &StreamDesc{StreamingClient: true, StreamingServer: true}, testService, "EchoStream", nil)
		if err != nil {
			t.Fatal(err)
		}
		h, _ = w.readRequest()
		ids = append(ids, h.id)
		w.data(h.id, 0, &KeyValue{Value: "unread"})
		cancel()
		if err := within(t, "Call", call); err != context.Canceled {
			t.Errorf("Call: got %v, want context.Canceled, bare", err)
		}
		for { // the message may still be received
			if err := cs.RecvMsg(&KeyValue{}); err == context.Canceled {
				break
			} else if err != nil {
				t.Fatalf("RecvMsg: got %v, want context.Canceled, bare", err)
			}
		}
		waitFor(t, "an empty table", func() bool { return tableSize(c.conn) == 0 })
		if err := cs.SendMsg(&KeyValue{}); err != context.Canceled {
			t.Errorf("SendMsg: got %v, want context.Canceled, bare", err)
		}
	}
	for _, id := range ids {
		w.data(id, 0, &KeyValue{Value: "late"})
		w.respond(id, &Response{})
	}
	call := goErr(func() error { return c.Call(testContext(t), testService, "Echo", &KeyValue{}, &KeyValue{}) })
	h, _ := w.readRequest()
	w.respond(h.id, &Response{})
	if err := within(t, "Call", call); err != nil {
		t.Errorf("the next call: %v", err)
	}
}

// Streams that end with an error status leave the client's table, whether anybody
// receives the error or not.
func TestStreamErrorsLeaveTable(t *testing.T) {
	c, w := wireClient(t)
	var streams []ClientStream
	for i := 0; i < 10; i++ {
		cs, err := c.NewStream(context.Background(), &StreamDesc{StreamingClient: true, StreamingServer: true}, testService, "S", nil)
		if err != nil {
			t.Fatal(err)
		}
		streams = append(streams, cs)
		h, _ := w.readRequest()
		w.respond(h.id, &Response{Status: newStatus(codes.DataLoss, "the end")})
	}
	waitFor(t, "an empty table", func() bool { return tableSize(c.conn) == 0 })
	for _, cs := range streams {
		for i := 0; i < 2; i++ {
			if err := cs.RecvMsg(&KeyValue{}); status.Code(err) != codes.DataLoss {
				t.Errorf("RecvMsg: got %v, want DataLoss", err)
			}
		}
		if err := cs.SendMsg(&KeyValue{}); err != io.EOF {
			t.Errorf("SendMsg: got %v, want io.EOF", err)
		}
	}
}
