package ttrpc

import (
	"context"
	"io"
	"runtime"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// After the server has ended a stream with an error, SendMsg returns io.EOF, as its
// documentation says, and RecvMsg returns the error.
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

// The server's error of a stream stays when the connection ends after it.
func TestSendAfterServerErrorAndClose(t *testing.T) {
	c, w := wireClient(t)
	cs, err := c.NewStream(testContext(t), &StreamDesc{StreamingClient: true}, testService, "S", nil)
	if err != nil {
		t.Fatal(err)
	}
	w.readRequest() // on some connections a goroutine writes it, maybe later
	w.respond(1, &Response{Status: newStatus(codes.Aborted, "no more")})
	w.Close()
	<-c.conn.done
	if err := cs.SendMsg(&KeyValue{}); err != io.EOF {
		t.Errorf("SendMsg: got %v, want io.EOF", err)
	}
	if err := cs.CloseSend(); err != nil {
		t.Errorf("CloseSend: %v", err)
	}
	if err := cs.RecvMsg(&KeyValue{}); status.Code(err) != codes.Aborted {
		t.Errorf("RecvMsg: got %v, want Aborted", err)
	}
}

// A sender that waits for room on a stream stops waiting when the server ends the stream,
// even if the server reads nothing. A later sender does not wait.
func TestSendWaitsOnEndedStream(t *testing.T) {
	c, w := wireClient(t)
	cs, err := c.NewStream(context.Background(), &StreamDesc{StreamingClient: true}, testService, "S", nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := cs.SendMsg(&KeyValue{Value: strings.Repeat("x", 3<<20)}); err != nil {
		t.Fatal(err)
	}
	send := func() error { return cs.SendMsg(&KeyValue{}) }
	waiting := goErr(send)
	waitFor(t, "a sender that waits", func() bool {
		_, waiting := c.conn.ch.w.room.load()
		return waiting > 0
	})
	w.respond(1, &Response{Status: newStatus(codes.Aborted, "no more")})
	if err := within(t, "SendMsg", waiting); err != io.EOF {
		t.Errorf("SendMsg: got %v, want io.EOF", err)
	}
	if err := within(t, "another SendMsg", goErr(send)); err != io.EOF {
		t.Errorf("another SendMsg: got %v, want io.EOF", err)
	}
	if err := within(t, "CloseSend", goErr(cs.CloseSend)); err != nil {
		t.Errorf("CloseSend: %v", err)
	}
}

// closeUnread makes CloseSend wait on a stream that the server does not read.
func closeUnread(t *testing.T, ctx context.Context) (cs ClientStream, w *wire, closing <-chan error) {
	t.Helper()
	c, w := wireClient(t)
	cs, err := c.NewStream(ctx, &StreamDesc{StreamingClient: true}, testService, "S", nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := cs.SendMsg(&KeyValue{Value: strings.Repeat("x", 900<<10)}); err != nil {
		t.Fatal(err)
	}
	closing = goErr(cs.CloseSend)
	waitFor(t, "CloseSend to wait", func() bool {
		c.conn.ch.w.mu.Lock()
		defer c.conn.ch.w.mu.Unlock()
		return len(c.conn.ch.w.marks) > 0
	})
	return cs, w, closing
}

// CloseSend waits for earlier messages to be written only until its context ends.
func TestCloseSendCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	_, _, closing := closeUnread(t, ctx)
	cancel()
	if err := within(t, "CloseSend", closing); err != context.Canceled {
		t.Errorf("CloseSend: got %v, want context.Canceled", err)
	}
}

// CloseSend also stops waiting when the server ends the stream, which it may not have read.
func TestCloseSendOnEndedStream(t *testing.T) {
	cs, w, closing := closeUnread(t, context.Background())
	w.respond(1, &Response{Status: newStatus(codes.Aborted, "no more")})
	if err := within(t, "CloseSend", closing); err != nil {
		t.Errorf("CloseSend: %v", err)
	}
	if err := cs.RecvMsg(&KeyValue{}); status.Code(err) != codes.Aborted {
		t.Errorf("RecvMsg: got %v, want Aborted", err)
	}
}

// The context ends while the stream is being opened: the watch on the context runs before
// the stream is in the table, and finds nothing to take out.
func TestCancelBeforeInsert(t *testing.T) {
	c, _ := wireClient(t)
	for i := 0; i < 50; i++ {
		ctx, cancel := context.WithCancel(context.Background())
		c.conn.ch.w.room.mu.Lock() // NewStream waits for it with the watch begun
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
		c.conn.ch.w.room.mu.Unlock()
		if err := within(t, "NewStream", opened); err != nil && err != context.Canceled {
			t.Errorf("NewStream: %v", err)
		}
		waitFor(t, "an empty table", func() bool { return tableSize(c.conn) == 0 })
	}
}

// A response that arrives just after the end of the call's context, before the receiver has
// checked again, is the call's result.
func TestResponseBeforeCancel(t *testing.T) {
	c, w := wireClient(t)
	body := mustMarshal(&Response{Payload: mustMarshal(&KeyValue{Value: "v"})})
	for i := 0; i < 50; i++ {
		ctx, cancel := context.WithCancel(context.Background())
		var resp KeyValue
		called := goErr(func() error { return c.Call(ctx, testService, "Echo", &KeyValue{}, &resp) })
		h, _ := w.readRequest()
		for j := 0; j < 100; j++ {
			runtime.Gosched()
		}
		pending := c.conn.lookup(h.id).(*call)
		c.remove(pending)
		buf := getBuffer(len(body))
		buf.b = append(buf.b[:0], body...)
		cancel()
		for j := 0; j < 100; j++ {
			runtime.Gosched()
		}
		pending.result <- callResult{buf: buf}
		if err := within(t, "Call", called); err != nil || resp.Value != "v" {
			t.Fatalf("round %d: got %q, %v, want the response", i, resp.Value, err)
		}
	}
}

// A sender notices the end of a stream's context at once, and not only after the watch on
// the context has run.
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

// errPanics is a context whose Err panics after a test has armed it.
type errPanics struct {
	context.Context
	good int // calls of Err before it panics
}

func (c *errPanics) Err() error {
	if c.good--; c.good < 0 {
		panic("on purpose")
	}
	return nil
}

// A sender whose context panics gives back the room that it has taken.
func TestPanickingContextGivesRoomBack(t *testing.T) {
	s := newServer(t, echoMethods(), usuallyBusy)
	c, _ := servePipe(t, s, context.Background())
	if err := echo(testContext(t), c, "x"); err != nil {
		t.Fatal(err)
	}
	st := &stream{}
	st.init(c.conn, new(inbox))
	room := &c.conn.ch.w.room
	waitFor(t, "the queue to be empty", func() bool { n, _ := room.load(); return n == 0 })
	func() {
		defer func() {
			if recover() == nil {
				t.Error("no panic")
			}
		}()
		st.send(&errPanics{Context: context.Background()}, &buffer{b: make([]byte, headerLength), class: -1}, moreFrames)
	}()
	if n, _ := room.load(); n != 0 {
		t.Errorf("%d bytes of room are lost", n)
	}
}
