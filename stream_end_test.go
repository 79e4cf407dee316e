package ttrpc

import (
	"context"
	"io"
	"runtime"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// After the server has ended a stream with an error, SendMsg says io.EOF, as its
// documentation has it: the error is RecvMsg's to tell.
func TestSendAfterServerError(t *testing.T) {
	c, _ := newTestPair(t, echoMethods())
	cs, err := c.NewStream(testContext(t), &StreamDesc{StreamingClient: true}, testService, "Unknown", nil)
	if err != nil {
		t.Fatal(err)
	}
	wantSend, wantClose := io.EOF, error(nil)
	for i := 0; i < 2; i++ {
		if err := cs.RecvMsg(&KeyValue{}); status.Code(err) != codes.Unimplemented {
			t.Errorf("RecvMsg: got %v, want Unimplemented", err)
		}
		if err := cs.SendMsg(&KeyValue{}); err != wantSend {
			t.Errorf("SendMsg: got %v, want %v", err, wantSend)
		}
		if err := cs.CloseSend(); err != wantClose {
			t.Errorf("CloseSend: got %v, want %v", err, wantClose)
		}
		wantSend, wantClose = ErrStreamClosed, ErrStreamClosed
	}
}

// The context ends while the stream is being opened: the watch on it comes before
// the stream is in the table, and finds nothing to take out.
func TestCancelBeforeInsert(t *testing.T) {
	c, _ := wireClient(t)
	for i := 0; i < 50; i++ {
		ctx, cancel := context.WithCancel(context.Background())
		c.conn.ch.writer.mu.Lock() // NewStream waits for it with the watch begun
		opened := goErr(func() error {
			_, err := c.NewStream(ctx, &StreamDesc{StreamingClient: true}, testService, "S", nil)
			return err
		})
		for j := 0; j < 100; j++ {
			runtime.Gosched()
		}
		cancel()
		for j := 0; j < 100; j++ {
			runtime.Gosched()
		}
		c.conn.ch.writer.mu.Unlock()
		if err := within(t, "NewStream", opened); err != nil && err != context.Canceled {
			t.Errorf("NewStream: %v", err)
		}
		waitFor(t, "an empty table", func() bool { return tableSize(c.conn) == 0 })
	}
}

// A response that comes just after the end of the call's context, and before the
// receiver has looked again, is the call's result.
func TestResponseBeforeCancel(t *testing.T) {
	c, w := wireClient(t)
	body := wireMarshal(&Response{Payload: wireMarshal(&KeyValue{Value: "v"})})
	for i := 0; i < 50; i++ {
		ctx, cancel := context.WithCancel(context.Background())
		var resp KeyValue
		call := goErr(func() error { return c.Call(ctx, testService, "Echo", &KeyValue{}, &resp) })
		h, _ := w.readRequest()
		for j := 0; j < 100; j++ {
			runtime.Gosched()
		}
		st := c.conn.lookup(h.id)
		c.conn.remove(st)
		buf := getBuffer(len(body))
		buf.b = append(buf.b[:0], body...)
		cancel()
		for j := 0; j < 100; j++ {
			runtime.Gosched()
		}
		st.result <- unaryResult{buf: buf}
		if err := within(t, "Call", call); err != nil || resp.Value != "v" {
			t.Fatalf("round %d: got %q, %v, want the response", i, resp.Value, err)
		}
	}
}

// The end of a stream's context is noticed by a sender at once, and not only
// when the goroutine that watches the context has run.
func TestSendAfterCancel(t *testing.T) {
	c, _ := newTestPair(t, echoMethods())
	for i := 0; i < 100; i++ {
		ctx, cancel := context.WithCancel(testContext(t))
		cs, err := c.NewStream(ctx, &StreamDesc{StreamingClient: true, StreamingServer: true}, testService, "EchoStream", nil)
		if err != nil {
			t.Fatal(err)
		}
		cancel()
		if err := cs.SendMsg(&KeyValue{}); err != context.Canceled {
			t.Fatalf("SendMsg: got %v, want context.Canceled", err)
		}
	}
}
