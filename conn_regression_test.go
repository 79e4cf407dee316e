package ttrpc

import (
	"context"
	"errors"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"
)

// Defects of released versions, and what must never come back. Each has a test
// that fails when its guard is removed.
//
// Fixed in some release:
//
//	 1  full method name "//svc/M"                  TestInterceptorOrder
//	 2  absent status, or code 0, is an error       TestSuccessWithoutStatus
//	 3  kinds of close that were not ErrClosed      TestConnectionErrorsAreErrClosed, TestWriteErrorIsErrClosed
//	 4  nil response crashes the server             TestUnusableResponse
//	 5  closed connections stay in the table        TestRaceClosedConns
//	 6  OnClose races its caller                    TestRaceOnClose
//	 7  NotFound instead of Unimplemented           TestUnimplemented
//	 8  deadlock when both directions are full      TestRaceFullBothWays, TestReaderNeverBlocksInWrite, TestServerRepliesUnread
//	 9  accepted without credentials                TestFailingPeercredRefuses
//	10  server's streams stay in the table          TestRaceTables
//	11  connection leaks on reset and wrapped EOF   TestResetIsClosed, TestCloseInMidFrame
//	12  Shutdown kills calls, races connections     TestShutdown, TestRaceShutdown
//	13  send on a closed channel                    TestRaceCloseDuringFlood
//	14  response lost that comes with the close     TestRaceReplyThenClose
//	15  Canceled instead of ErrClosed               TestRaceCloseIsErrClosed
//	16  empty request of a server stream hangs      TestEmptyRequestOfServerStream
//	17  generators: optional, empty files           cmd/protoc-gen-go-ttrpc, internal/gentest
//	18  deadlock of two locks; ids out of order     TestRaceIDsRise, TestIDWithRequest
//	19  oversized request is sent, and dropped      TestOversizedRequest
//	20  Serve after Shutdown blocks                 TestServeAfterEnd
//	21  concurrent write of shared metadata         TestRaceSharedMetadata
//	22  data on an unknown stream is a panic        TestDataOnUnknownStream
//	23  context outlives the stream's handler       TestHandlerContext
//	24  an unread stream blocks its connection      TestUnreadStream, TestServerSlowConsumers, TestClientSlowConsumer
//
// Open in all of them:
//
//	 1  cancelled streams stay in the table         TestCancelledLeavesTable
//	 2  sending ignores the context                 TestContextEndsSending
//	 3  Shutdown and Close miscount                 TestShutdown, TestShutdownAfterRejects, TestCloseEndsBusyConn
//	 4  data on a unary call, panics                TestDataOnUnaryCall, TestHandlerPanic
//	 5  oversized messages end or leak              TestOversizedResponse, TestOversizedRequest, TestOversizedRequestTable, TestMessageLengthLimit
//	 6  odd read errors leave a zombie              TestConnectionErrorsAreErrClosed
//	 7  calls wait behind unread streams            TestUnreadStream, TestServerSlowConsumers, TestClientSlowConsumer
//	 8  entries stored after their end              TestRaceTables, TestStreamErrorsLeaveTable
//	 9  streams without metadata and deadline       TestMetadataOfCalls, TestDeadlineOfCalls, TestStreamInterceptors, TestRaceSendAgainstCloseSend
//	10  a slow handshake blocks others              TestSlowHandshakeBlocksNoOther
//	11  lengths that do not fit an int              TestHugeLengths

// A response without a status is a success, and so is one with code 0, whatever
// it says.
func TestSuccessWithoutStatus(t *testing.T) {
	c, w := wireClient(t)
	payload := mustMarshal(&KeyValue{Value: "v"})
	for name, resp := range map[string]*Response{
		"no status":        {Payload: payload},
		"empty status":     {Status: &spb.Status{}, Payload: payload},
		"code 0 with text": {Status: &spb.Status{Message: "all is well"}, Payload: payload},
	} {
		var m KeyValue
		call := goErr(func() error { return c.Call(testContext(t), testService, "Echo", &KeyValue{}, &m) })
		h, _ := w.readRequest()
		w.respond(h.id, resp)
		if err := within(t, "Call", call); err != nil || m.Value != "v" {
			t.Errorf("%s: got %q, %v", name, m.Value, err)
		}

		cs, err := c.NewStream(testContext(t), &StreamDesc{StreamingClient: true}, testService, "Join", nil)
		if err != nil {
			t.Fatal(err)
		}
		h, _ = w.readRequest()
		w.respond(h.id, resp)
		if err := cs.RecvMsg(&m); err != nil || m.Value != "v" {
			t.Errorf("%s, stream: got %q, %v", name, m.Value, err)
		}
		if err := cs.RecvMsg(&m); err != io.EOF {
			t.Errorf("%s, stream: afterwards %v, want io.EOF", name, err)
		}
	}
}

// The server always sends a status with a success: the client of June 2019 wants
// to see one.
func TestSuccessHasStatus(t *testing.T) {
	_, addr := newTestServer(t, echoMethods())
	w := dialWire(t, addr)
	w.request(1, "Echo", 0, &KeyValue{Value: "v"})
	w.request(3, "Join", flagRemoteClosed|flagNoData, nil)
	for i := 0; i < 2; i++ {
		f := w.read()
		if f.typ != messageTypeResponse || len(f.body) < 2 || f.body[0] != 1<<3|2 || f.body[1] != 0 {
			t.Errorf("%v: %q does not begin with an empty status", f.header, f.body)
		}
	}
}

// A connection that cannot be written to is closed.
func TestWriteErrorIsErrClosed(t *testing.T) {
	ours, theirs := net.Pipe()
	defer theirs.Close()
	c := NewClient(&failingConn{Conn: ours, writeErr: opError(io.ErrClosedPipe)})
	for i := 0; i < 3; i++ {
		if err := c.Call(testContext(t), testService, "Echo", &KeyValue{}, &KeyValue{}); err != ErrClosed {
			t.Errorf("call %d: got %v, want ErrClosed", i, err)
		}
	}
	if err := c.UserOnCloseWait(testContext(t)); err != nil {
		t.Error(err)
	}
}

// wantGone checks that both ends notice the end of a connection: the calls of the
// client, and the server, which forgets it.
func wantGone(t *testing.T, what string, s *Server, c *Client, call <-chan error) {
	t.Helper()
	if c != nil {
		if err := within(t, what, call); err != ErrClosed {
			t.Errorf("%s: got %v, want ErrClosed", what, err)
		}
		if err := c.UserOnCloseWait(testContext(t)); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	if s != nil {
		waitFor(t, what+": an empty table", func() bool {
			s.mu.Lock()
			defer s.mu.Unlock()
			return len(s.conns) == 0
		})
	}
}

// A connection that is reset is closed, and leaks nothing.
func TestResetIsClosed(t *testing.T) {
	reset := func(nc *net.TCPConn) {
		nc.SetLinger(0)
		nc.Close()
	}
	client, server := tcpPair(t)
	c := NewClient(client)
	call := goErr(func() error { return c.Call(context.Background(), testService, "Echo", &KeyValue{}, &KeyValue{}) })
	newWire(server).readRequest()
	reset(server)
	wantGone(t, "client", nil, c, call)

	client, server = tcpPair(t)
	rec := newLogRecorder()
	s := newServer(t, WithServerLogger(rec))
	g := newGate()
	s.RegisterService(testService, g.service())
	l := newScriptedListener()
	l.accepts <- server
	served := goErr(func() error { return s.Serve(context.Background(), l) })
	w := newWire(client)
	w.request(1, "Wait", 0, &KeyValue{})
	within(t, "handler", g.started)
	reset(client)
	if err := within(t, "handler's end", g.ended); err != context.Canceled {
		t.Errorf("the handler's context ended with %v", err)
	}
	wantGone(t, "server", s, nil, nil)
	s.Close()
	within(t, "Serve", served)
	if lines := rec.all(); len(lines) != 0 {
		t.Errorf("the log has %q", lines)
	}
}

// A peer that closes in the middle of a frame, at any place, closes the
// connection.
func TestCloseInMidFrame(t *testing.T) {
	body := mustMarshal(&Response{Payload: mustMarshal(&KeyValue{Value: strings.Repeat("x", 8000)})})
	frame := make([]byte, headerLength, headerLength+len(body))
	putHeader(frame, header{length: uint32(len(body)), id: 1, typ: messageTypeResponse})
	frame = append(frame, body...)
	for _, n := range []int{0, 1, headerLength - 1, headerLength, headerLength + 1, 4096, len(frame) - 1} {
		c, w := wireClient(t)
		call := goErr(func() error { return c.Call(context.Background(), testService, "Echo", &KeyValue{}, &KeyValue{}) })
		w.readRequest()
		if _, err := w.Write(frame[:n]); err != nil {
			t.Fatal(err)
		}
		w.Close()
		wantGone(t, "client", nil, c, call)
	}

	s, addr := newTestServer(t, echoMethods())
	frame[8] = byte(messageTypeRequest)
	for _, n := range []int{0, 1, headerLength - 1, headerLength, headerLength + 1, 4096, len(frame) - 1} {
		w := dialWire(t, addr)
		if _, err := w.Write(frame[:n]); err != nil {
			t.Fatal(err)
		}
		w.Close()
	}
	wantGone(t, "server", s, nil, nil)
}

// The request of a server stream is delivered when it encodes to no bytes, and by
// clients that leave the field out, as protobuf does.
func TestEmptyRequestOfServerStream(t *testing.T) {
	c, _ := newTestPair(t, &ServiceDesc{Streams: map[string]Stream{"S": {StreamingServer: true,
		Handler: func(_ context.Context, ss StreamServer) (any, error) {
			if err := ss.RecvMsg(&emptypb.Empty{}); err != nil {
				return nil, err
			}
			if err := ss.RecvMsg(&emptypb.Empty{}); err != io.EOF {
				return nil, errors.New("there was a second message")
			}
			return nil, ss.SendMsg(&emptypb.Empty{})
		}}}})
	addr := c.conn.ch.conn.RemoteAddr().String()
	cs, err := c.NewStream(testContext(t), &StreamDesc{StreamingServer: true}, testService, "S", &emptypb.Empty{})
	if err != nil {
		t.Fatal(err)
	}
	if err := cs.RecvMsg(&emptypb.Empty{}); err != nil {
		t.Errorf("got %v", err)
	}
	if err := cs.RecvMsg(&emptypb.Empty{}); err != io.EOF {
		t.Errorf("the end: %v", err)
	}
	w := dialWire(t, addr)
	w.write(header{id: 1, typ: messageTypeRequest, flags: flagRemoteClosed}, mustMarshal(&Request{Service: testService, Method: "S"}))
	if f := w.read(); f.typ != messageTypeData || f.flags.has(flagNoData) {
		t.Errorf("got %v, want a message", f.header)
	}
}

// A request over the limit is refused before anything is sent: the error is typed
// and tells the lengths, by which NRI splits, and the connection is as before.
func TestOversizedRequest(t *testing.T) {
	c, w := wireClient(t)
	long := &KeyValue{Value: strings.Repeat("x", 4<<20)}
	errs := map[string]error{"Call": c.Call(testContext(t), testService, "Echo", long, &KeyValue{})}
	_, errs["NewStream"] = c.NewStream(testContext(t), &StreamDesc{StreamingServer: true}, testService, "S", long)
	ctx := WithMetadata(testContext(t), MD{"k": {long.Value}})
	errs["metadata"] = c.Call(ctx, testService, "Echo", &KeyValue{}, &KeyValue{})
	for what, err := range errs {
		var oversized *OversizedMessageErr
		if !errors.As(err, &oversized) {
			t.Errorf("%s: got %T %v", what, err, err)
			continue
		}
		if oversized.MaximumLength() != 4<<20 || oversized.RejectedLength() <= 4<<20 || oversized.RejectedLength() > 4<<20+100 {
			t.Errorf("%s: %d over %d", what, oversized.RejectedLength(), oversized.MaximumLength())
		}
		if status.Code(err) != codes.ResourceExhausted {
			t.Errorf("%s: code %v", what, status.Code(err))
		}
	}
	if n := tableSize(c.conn); n != 0 {
		t.Errorf("%d streams are left", n)
	}

	// The next frame is of the next call. A message of a stream is refused, too,
	// and the stream goes on.
	cs, err := c.NewStream(testContext(t), &StreamDesc{StreamingClient: true}, testService, "S", nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := cs.SendMsg(long); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("SendMsg: got %v", err)
	}
	if err := cs.SendMsg(&KeyValue{Value: "short"}); err != nil {
		t.Errorf("SendMsg: %v", err)
	}
	if h, req := w.readRequest(); h.id != 1 || req.Method != "S" {
		t.Errorf("the first frame is %v", h)
	}
	if f := w.read(); f.id != 1 || f.typ != messageTypeData || f.length > 100 {
		t.Errorf("the second frame is %v", f.header)
	}
}

// An oversized request that arrives is refused, leaves no entry, and nothing else
// is harmed.
func TestOversizedRequestTable(t *testing.T) {
	s, addr := newTestServer(t, echoMethods())
	w := dialWire(t, addr)
	body := make([]byte, 4<<20+1)
	for id := streamID(1); id <= 5; id += 2 {
		sent := goErr(func() error { w.write(header{id: id, typ: messageTypeRequest}, body); return nil })
		if got, resp := w.readResponse(); got != id || codes.Code(resp.Status.GetCode()) != codes.ResourceExhausted {
			t.Errorf("stream %d: got %v", got, resp)
		}
		within(t, "write", sent)
		w.request(id, "Echo", 0, &KeyValue{}) // the id is free
		if got, resp := w.readResponse(); got != id || resp.Status.GetCode() != 0 {
			t.Errorf("stream %d again: got %v", got, resp)
		}
	}
	s.mu.Lock()
	conns := s.connsLocked()
	s.mu.Unlock()
	for _, sc := range conns {
		if n := tableSize(sc.conn); n != 0 {
			t.Errorf("%d streams are left", n)
		}
	}
}

// Lengths up to the largest that the field holds do not allocate, panic, or get
// the reader out of step, on 32-bit systems either.
func TestHugeLengths(t *testing.T) {
	_, addr := newTestServer(t, echoMethods(), WithServerLogger(newLogRecorder()))
	for _, length := range []uint32{1 << 24, 1<<31 - 1, 1 << 31, 1<<32 - 1} {
		// The first byte of a header is zero: anything else is no frame.
		w := dialWire(t, addr)
		w.write(header{length: length, id: 1, typ: messageTypeRequest}, nil)
		if f, err := w.tryRead(); err == nil {
			t.Errorf("length %d: got %v, want the end", length, f.header)
		}
		c, cw := wireClient(t)
		call := goErr(func() error { return c.Call(testContext(t), testService, "Echo", &KeyValue{}, &KeyValue{}) })
		cw.readRequest()
		cw.write(header{length: length, id: 1, typ: messageTypeResponse}, nil)
		if err := within(t, "Call", call); !errors.Is(err, ErrClosed) || !errors.Is(err, ErrProtocol) {
			t.Errorf("length %d: the client's call returned %v", length, err)
		}
	}

	// The longest one that is a frame is discarded as it comes.
	w := dialWire(t, addr)
	const length = 1<<24 - 1
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	sent := goErr(func() error {
		w.write(header{length: length, id: 1, typ: messageTypeRequest}, nil)
		chunk := make([]byte, 64<<10)
		for left := length; left > 0; left -= len(chunk) {
			chunk = chunk[:min(left, len(chunk))]
			if _, err := w.Write(chunk); err != nil {
				return err
			}
		}
		return nil
	})
	if _, resp := w.readResponse(); codes.Code(resp.Status.GetCode()) != codes.ResourceExhausted {
		t.Errorf("got %v, want ResourceExhausted", resp)
	}
	if err := within(t, "write", sent); err != nil {
		t.Error(err)
	}
	runtime.ReadMemStats(&after)
	// A sync.Pool drops some of what it gets under the race detector.
	if n := after.TotalAlloc - before.TotalAlloc; n > length/2 {
		t.Errorf("%d bytes were allocated to discard %d", n, length)
	}
}

// Data on a stream that does not exist, or not any more, harms nobody.
func TestDataOnUnknownStream(t *testing.T) {
	_, addr := newTestServer(t, echoMethods())
	w := dialWire(t, addr)
	w.data(7, 0, &KeyValue{Value: "x"})
	if id, resp := w.readResponse(); id != 7 || codes.Code(resp.Status.GetCode()) != codes.InvalidArgument {
		t.Errorf("got %d, %v", id, resp)
	}
	w.request(9, "Echo", 0, &KeyValue{Value: "x"})
	w.readResponse()
	w.data(9, 0, &KeyValue{Value: "late"})
	w.request(11, "Echo", 0, &KeyValue{Value: "y"})
	if id, resp := w.readResponse(); id != 11 || resp.Status.GetCode() != 0 {
		t.Errorf("got %d, %v, want the response of 11", id, resp)
	}

	// And the same the other way.
	c, cw := wireClient(t)
	call := goErr(func() error { return c.Call(testContext(t), testService, "Echo", &KeyValue{}, &KeyValue{}) })
	h, _ := cw.readRequest()
	for _, id := range []streamID{h.id + 2, 0, 2, 4711} {
		cw.data(id, 0, &KeyValue{Value: "x"})
		cw.respond(id, &Response{})
	}
	cw.respond(h.id, &Response{})
	if err := within(t, "Call", call); err != nil {
		t.Error(err)
	}
}

// Data on the id of a unary call ends that call. The server lives, and so do its
// other calls; its handler's response is not sent any more.
func TestDataOnUnaryCall(t *testing.T) {
	g := newGate()
	_, addr := newTestServer(t, g.service())
	w := dialWire(t, addr)
	w.request(1, "Wait", 0, &KeyValue{})
	w.request(3, "Wait", 0, &KeyValue{})
	within(t, "handler", g.started)
	within(t, "handler", g.started)
	w.data(1, 0, &KeyValue{Value: "x"})
	if id, resp := w.readResponse(); id != 1 || codes.Code(resp.Status.GetCode()) != codes.InvalidArgument {
		t.Errorf("got %d, %v", id, resp)
	}
	close(g.proceed)
	if id, resp := w.readResponse(); id != 3 || resp.Status.GetCode() != 0 {
		t.Errorf("got %d, %v, want the response of 3", id, resp)
	}
	w.request(5, "Echo", 0, &KeyValue{})
	if id, _ := w.readResponse(); id != 5 {
		t.Errorf("got %d, want the response of 5", id)
	}
}

// Calls and streams that are given up are not in the client's table any more, and
// what still comes for them is dropped.
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

// A call's context ends its waiting while the peer does not read and the socket is
// full; so do those of all callers behind it, and of streams.
func TestContextEndsSending(t *testing.T) {
	for name, pair := range map[string]func() (net.Conn, net.Conn){
		"unix": func() (net.Conn, net.Conn) { return socketPair(t) },
		"pipe": net.Pipe,
	} {
		ours, theirs := pair()
		defer theirs.Close()
		c := NewClient(ours, WithClientLimits(Limits{MaxPendingWrite: 64 << 10}))
		big := &KeyValue{Value: strings.Repeat("x", 256<<10)}
		streamCtx, cancelStream := context.WithCancel(context.Background())
		cs, err := c.NewStream(streamCtx, &StreamDesc{StreamingClient: true}, testService, "Join", nil)
		if err != nil {
			t.Fatal(err)
		}
		const callers = 20
		ctx, cancel := context.WithCancel(context.Background())
		results := make(chan error, 2*callers)
		for i := 0; i < callers; i++ {
			go func() { results <- c.Call(ctx, testService, "Echo", big, &KeyValue{}) }()
			go func() { results <- cs.SendMsg(big) }()
		}
		// Two of them are let in, for one is always let in beside what fits.
		waitFor(t, name+": a full queue", func() bool {
			_, waiting := c.conn.ch.w.room.load()
			return waiting >= 2*callers-4
		})
		deadline, stop := context.WithTimeout(context.Background(), 20*time.Millisecond)
		start := time.Now()
		if err := c.Call(deadline, testService, "Echo", &KeyValue{}, &KeyValue{}); err != context.DeadlineExceeded {
			t.Errorf("%s: a call with a deadline: got %v", name, err)
		}
		if d := time.Since(start); d > testTimeout/2 {
			t.Errorf("%s: a call with a deadline of 20 ms took %v", name, d)
		}
		stop()
		cancel()
		cancelStream()
		for i := 0; i < 2*callers; i++ {
			if err := within(t, name, results); err != nil && err != context.Canceled {
				t.Errorf("%s: got %v, want context.Canceled", name, err)
			}
		}
		// The stream leaves on the goroutine that watches its context.
		waitFor(t, name+": an empty table", func() bool { return tableSize(c.conn) == 0 })
		c.Close()
	}
}

// The goroutine that reads a server's socket also runs quick handlers and writes
// their responses. When the peer reads none of these, it reads on all the same (8).
func TestReaderNeverBlocksInWrite(t *testing.T) {
	big := &KeyValue{Value: strings.Repeat("x", 16<<10)}
	var s *Server
	desc := echoMethods()
	desc.Methods["Big"] = func(context.Context, func(any) error) (any, error) {
		makeQuick(t, s, "Big") // whatever else the machine does
		return big, nil
	}
	s, addr := newTestServer(t, desc)
	makeQuick(t, s, "Big")
	w := dialWire(t, addr)
	const calls = 500 // of 8 MB in all, in each direction
	request := mustMarshal(&Request{Service: testService, Method: "Big", Payload: mustMarshal(big)})
	for id := streamID(1); id < 2*calls; id += 2 {
		if err := w.tryWrite(header{id: id, typ: messageTypeRequest}, request); err != nil {
			t.Fatalf("request %d, with no response read: %v", id, err)
		}
	}
	for i := 0; i < calls; i++ {
		if id, resp := w.readResponse(); resp.Status.GetCode() != 0 {
			t.Errorf("response %d: %v", id, resp.Status)
		}
	}
}

// Streams whose client does not receive do not hold up the calls beside them.
func TestUnreadStream(t *testing.T) {
	const unread = 3
	big := strings.Repeat("x", 8<<10)
	queued := make(chan error, unread)
	desc := echoMethods()
	desc.Streams["Flood"] = Stream{StreamingServer: true, Handler: func(ctx context.Context, ss StreamServer) (any, error) {
		for i := 0; i < 80; i++ { // more than the 64 that released versions buffer
			if err := ss.SendMsg(&KeyValue{Value: big}); err != nil {
				queued <- err
				return nil, err
			}
		}
		queued <- nil
		return nil, nil
	}}
	c, _ := newTestPair(t, desc)
	var streams []ClientStream
	for i := 0; i < unread; i++ {
		cs, err := c.NewStream(testContext(t), &StreamDesc{StreamingServer: true}, testService, "Flood", &KeyValue{})
		if err != nil {
			t.Fatal(err)
		}
		streams = append(streams, cs)
	}
	for range streams {
		if err := within(t, "Flood", queued); err != nil {
			t.Fatalf("the handler: %v", err)
		}
	}
	// The time that a busy machine adds to one of several calls does not count.
	best := time.Hour
	for i := 0; i < 10; i++ {
		start := time.Now()
		if err := echo(testContext(t), c, "x"); err != nil {
			t.Fatal(err)
		}
		best = min(best, time.Since(start))
	}
	if best > 50*time.Millisecond {
		t.Errorf("a call beside unread streams takes %v", best)
	}
	if d := c.conn.pauses.total(); d != 0 {
		t.Errorf("reading was paused for %v", d)
	}
	for _, cs := range streams { // nothing is lost
		for i := 0; i < 80; i++ {
			var m KeyValue
			if err := cs.RecvMsg(&m); err != nil || m.Value != big {
				t.Fatalf("message %d: %d bytes, %v", i, len(m.Value), err)
			}
		}
		if err := cs.RecvMsg(&KeyValue{}); err != io.EOF {
			t.Errorf("the end: %v", err)
		}
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
