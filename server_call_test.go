package ttrpc

import (
	"context"
	"errors"
	"io"
	"runtime"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// A stream's final frame is queued and its senders are refused in one step: nothing
// goes out after it, and the sender is told.
func TestNothingAfterFinalFrame(t *testing.T) {
	s, addr := newTestServer(t, echoMethods())
	w := dialWire(t, addr)
	for id := streamID(1); id < 100; id += 2 {
		w.request(id, "EchoStream", flagRemoteOpen, &KeyValue{Value: "x"})
		w.read() // its handler runs
		s.mu.Lock()
		sc := s.connsLocked()[0]
		s.mu.Unlock()
		st := sc.lookup(id)
		late, err := st.encodeData(&KeyValue{}, 0)
		if err != nil {
			t.Fatal(err)
		}
		sent := make(chan error, 1)
		sc.remove(st, ErrStreamClosed, func() {
			if st.sendErr == nil { // remove has its lock, which it may lose to a sender
				t.Error("the final frame is queued before senders are refused")
			}
			sc.conn.ch.w.enqueueReply(responseFrame(id, newStatus(codes.Aborted, "final"), sc.conn.maxSend()))
			go func() { sent <- st.send(context.Background(), late, moreFrames) }()
			for i := 0; i < 100 && len(sent) == 0; i++ {
				runtime.Gosched()
			}
		})
		sc.conn.ch.w.flush()
		if err := within(t, "send", sent); err != ErrStreamClosed {
			t.Fatalf("stream %d: send: got %v, want ErrStreamClosed", id, err)
		}
		if got, resp := w.readResponse(); got != id || codes.Code(resp.Status.GetCode()) != codes.Aborted {
			t.Fatalf("stream %d: got %d, %v, want the final frame", id, got, resp)
		}
	}
}

// A stream whose server streams ends with a last message, if its handler returns
// one; nil, typed or not, is none.
func TestLastMessageOfStream(t *testing.T) {
	var next any
	c, _ := newTestPair(t, &ServiceDesc{Streams: map[string]Stream{"S": {StreamingServer: true,
		Handler: func(context.Context, StreamServer) (any, error) { return next, nil }}}})
	for _, test := range []struct {
		resp any
		want []error // of RecvMsg
	}{
		{nil, []error{io.EOF}},
		{(*KeyValue)(nil), []error{io.EOF}},
		{&KeyValue{Value: "last"}, []error{nil, io.EOF, io.EOF}},
		{&KeyValue{}, []error{nil, io.EOF}},
	} {
		next = test.resp
		cs, err := c.NewStream(testContext(t), &StreamDesc{StreamingServer: true}, testService, "S", &KeyValue{})
		if err != nil {
			t.Fatal(err)
		}
		for i, want := range test.want {
			if err := cs.RecvMsg(&KeyValue{}); err != want {
				t.Errorf("%v: RecvMsg %d: got %v, want %v", test.resp, i, err, want)
			}
		}
	}
	for _, next = range []any{5, &KeyValue{Value: "\xff"}} {
		cs, err := c.NewStream(testContext(t), &StreamDesc{StreamingServer: true}, testService, "S", &KeyValue{})
		if err != nil {
			t.Fatal(err)
		}
		if err := cs.RecvMsg(&KeyValue{}); status.Code(err) != codes.Internal {
			t.Errorf("a last message that cannot be sent: got %v, want Internal", err)
		}
	}
}

// A handler's context ends when it returns, however much of its response waits to
// be sent (regression 23), when its connection ends, and at the deadline that
// came with the call, which it also says.
func TestHandlerContext(t *testing.T) {
	contexts := make(chan context.Context, 1)
	block := make(chan struct{})
	desc := &ServiceDesc{
		Methods: map[string]Method{
			"M": func(ctx context.Context, _ func(any) error) (any, error) {
				contexts <- ctx
				return &KeyValue{}, ctx.Err()
			},
			"Wait": func(ctx context.Context, _ func(any) error) (any, error) {
				contexts <- ctx
				<-ctx.Done()
				<-block
				return &KeyValue{}, nil
			},
		},
		Streams: map[string]Stream{
			"S": {StreamingClient: true, StreamingServer: true, Handler: func(ctx context.Context, ss StreamServer) (any, error) {
				contexts <- ctx
				return nil, ctx.Err()
			}},
			"WaitStream": {StreamingClient: true, StreamingServer: true, Handler: func(ctx context.Context, ss StreamServer) (any, error) {
				contexts <- ctx
				<-ctx.Done()
				<-block
				return nil, nil
			}},
		},
	}
	desc.Methods["Big"] = func(ctx context.Context, _ func(any) error) (any, error) {
		contexts <- ctx
		return &KeyValue{Value: strings.Repeat("x", 1<<20)}, nil
	}
	_, addr := newTestServer(t, desc, WithServerLimits(Limits{MaxPendingWrite: 1}))
	defer close(block)
	w := dialWire(t, addr)
	wantEnd := func(what string, ctx context.Context, want error) {
		t.Helper()
		within(t, what, ctx.Done())
		if err := ctx.Err(); err != want {
			t.Errorf("%s: the context ended with %v, want %v", what, err, want)
		}
	}

	w.request(1, "M", 0, nil)
	wantEnd("return", within(t, "M", contexts), context.Canceled)
	w.request(3, "S", flagRemoteOpen|flagNoData, nil)
	wantEnd("return of a stream", within(t, "S", contexts), context.Canceled)

	kind := map[string]flags{"WaitStream": flagRemoteOpen | flagNoData}
	for id, method := range map[streamID]string{5: "Wait", 7: "WaitStream"} {
		start := time.Now()
		w.write(header{id: id, typ: messageTypeRequest, flags: kind[method]},
			mustMarshal(&Request{Service: testService, Method: method, TimeoutNano: int64(20 * time.Millisecond)}))
		ctx := within(t, method, contexts)
		if deadline, ok := ctx.Deadline(); !ok || deadline.Before(start.Add(20*time.Millisecond)) || time.Until(deadline) > 20*time.Millisecond {
			t.Errorf("%s: the deadline is %v, %v", method, deadline, ok)
		}
		wantEnd("deadline of "+method, ctx, context.DeadlineExceeded)
		if d := time.Since(start); d < 20*time.Millisecond {
			t.Errorf("%s: the deadline came after %v", method, d)
		}
	}

	for id := streamID(21); id <= 25; id += 2 { // more than may wait, and w does not read
		w.request(id, "Big", 0, nil)
		wantEnd("return with a response that waits", within(t, "Big", contexts), context.Canceled)
	}

	var open []context.Context
	for id, method := range map[streamID]string{31: "Wait", 33: "WaitStream"} {
		w.request(id, method, kind[method], nil)
		ctx := within(t, method, contexts)
		if deadline, ok := ctx.Deadline(); ok {
			t.Errorf("%s: a call without a timeout has the deadline %v", method, deadline)
		}
		open = append(open, ctx)
	}
	w.Close()
	for _, ctx := range open {
		wantEnd("connection", ctx, context.Canceled)
	}
}

// Streams carry the deadline of their caller, too (9 of the regressions open
// upstream).
func TestDeadlineOfCalls(t *testing.T) {
	left := func(ctx context.Context) (any, error) {
		deadline, ok := ctx.Deadline()
		if !ok {
			return &KeyValue{Value: "none"}, nil
		}
		return &KeyValue{Value: time.Until(deadline).String()}, nil
	}
	c, _ := newTestPair(t, &ServiceDesc{
		Methods: map[string]Method{"Left": func(ctx context.Context, _ func(any) error) (any, error) { return left(ctx) }},
		Streams: map[string]Stream{"LeftStream": {StreamingClient: true, Handler: func(ctx context.Context, _ StreamServer) (any, error) {
			return left(ctx)
		}}},
	})
	calls := map[string]func(context.Context, *KeyValue) error{
		"Call": func(ctx context.Context, resp *KeyValue) error {
			return c.Call(ctx, testService, "Left", &KeyValue{}, resp)
		},
		"stream": func(ctx context.Context, resp *KeyValue) error {
			cs, err := c.NewStream(ctx, &StreamDesc{StreamingClient: true}, testService, "LeftStream", nil)
			if err != nil {
				return err
			}
			return cs.RecvMsg(resp)
		},
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
	defer cancel()
	for name, call := range calls {
		var resp KeyValue
		if err := call(context.Background(), &resp); err != nil || resp.Value != "none" {
			t.Errorf("%s without a deadline: %q, %v", name, resp.Value, err)
		}
		if err := call(ctx, &resp); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if d, err := time.ParseDuration(resp.Value); err != nil || d > time.Hour || d < time.Hour-testTimeout {
			t.Errorf("%s: the handler has %q left, want about an hour", name, resp.Value)
		}
	}
}

// An oversized response is ResourceExhausted to its caller. The connection goes on
// (5 of the regressions open upstream).
func TestOversizedResponse(t *testing.T) {
	long := strings.Repeat("x", 4<<20)
	sendErr := make(chan error, 1)
	desc := echoMethods()
	desc.Methods["Long"] = func(context.Context, func(any) error) (any, error) { return &KeyValue{Value: long}, nil }
	desc.Streams["LongStream"] = Stream{StreamingServer: true, Handler: func(_ context.Context, ss StreamServer) (any, error) {
		sendErr <- ss.SendMsg(&KeyValue{Value: long})
		return nil, ss.SendMsg(&KeyValue{Value: "short"})
	}}
	desc.Streams["LongLast"] = Stream{StreamingClient: true, Handler: func(_ context.Context, ss StreamServer) (any, error) {
		return &KeyValue{Value: long}, nil
	}}
	s, addr := newTestServer(t, desc)
	c := dialTest(t, addr)
	blocked := goErr(func() error {
		return c.Call(testContext(t), testService, "Echo", &KeyValue{Value: strings.Repeat("y", 1<<20)}, &KeyValue{})
	})
	err := c.Call(testContext(t), testService, "Long", &KeyValue{}, &KeyValue{})
	if status.Code(err) != codes.ResourceExhausted {
		t.Errorf("got %v, want ResourceExhausted", err)
	}
	if err := within(t, "Call", blocked); err != nil {
		t.Errorf("a call beside it: %v", err)
	}

	w := dialWire(t, addr)
	w.request(1, "Long", 0, nil)
	if f := w.read(); f.typ != messageTypeResponse || f.length > 1000 {
		t.Errorf("what was sent is %v", f.header)
	}
	w.Close()

	// A message of a stream fails at the handler, which may go on.
	cs, err := c.NewStream(testContext(t), &StreamDesc{StreamingServer: true}, testService, "LongStream", &KeyValue{})
	if err != nil {
		t.Fatal(err)
	}
	var oversized *OversizedMessageErr
	if err := within(t, "SendMsg", sendErr); !errors.As(err, &oversized) || oversized.RejectedLength() <= 4<<20 {
		t.Errorf("SendMsg: got %v", err)
	}
	var m KeyValue
	if err := cs.RecvMsg(&m); err != nil || m.Value != "short" {
		t.Errorf("the next message: %q, %v", m.Value, err)
	}
	if err := cs.RecvMsg(&m); err != io.EOF {
		t.Errorf("the end: %v", err)
	}

	cs, err = c.NewStream(testContext(t), &StreamDesc{StreamingClient: true}, testService, "LongLast", nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := cs.RecvMsg(&m); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("response of a stream: got %v, want ResourceExhausted", err)
	}
	if err := echo(testContext(t), c, "x"); err != nil {
		t.Errorf("the connection: %v", err)
	}
	c.Close()
	serverIdle(t, s)
}

// After the handler has returned its stream is of no use, and harmless.
func TestStreamAfterHandler(t *testing.T) {
	streams := make(chan StreamServer, 1)
	c, _ := newTestPair(t, &ServiceDesc{Streams: map[string]Stream{"S": {StreamingClient: true, StreamingServer: true,
		Handler: func(_ context.Context, ss StreamServer) (any, error) {
			streams <- ss
			return nil, nil
		}}}})
	cs, err := c.NewStream(testContext(t), &StreamDesc{StreamingClient: true, StreamingServer: true}, testService, "S", nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := cs.RecvMsg(&KeyValue{}); err != io.EOF {
		t.Errorf("the end: %v", err)
	}
	ss := within(t, "S", streams)
	if err := ss.SendMsg(&KeyValue{}); err != ErrStreamClosed && err != context.Canceled {
		t.Errorf("SendMsg: got %v", err)
	}
	if err := ss.RecvMsg(&KeyValue{}); err == nil {
		t.Error("RecvMsg succeeded")
	}
	// Messages that the client sends by now are dropped, not answered.
	for i := 0; i < 3; i++ {
		if err := cs.SendMsg(&KeyValue{}); err != io.EOF {
			t.Errorf("the client's SendMsg: got %v, want io.EOF", err)
		}
	}
}
