//go:build unix

package ttrpc

import (
	"bytes"
	"context"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"
)

// servedPair returns a server's connection and the client's end of it.
func servedPair(t *testing.T, desc *ServiceDesc, opts ...ServerOpt) (*serverConn, *net.UnixConn) {
	t.Helper()
	return servedWrapped(t, func(nc net.Conn) net.Conn { return nc }, desc, opts...)
}

// servedWrapped is servedPair with the server's end of the connection wrapped.
func servedWrapped(t *testing.T, wrap func(net.Conn) net.Conn, desc *ServiceDesc, opts ...ServerOpt) (*serverConn, *net.UnixConn) {
	t.Helper()
	s := newServer(t, desc, append(opts, WithServerLogger(newLogRecorder()))...)
	ours, theirs := socketPair(t)
	s.startConn(s.newServing(context.Background()), wrap(ours))
	var sc *serverConn
	waitFor(t, "the connection", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		for sc = range s.conns {
			return sc.conn != nil
		}
		return false
	})
	return sc, theirs
}

// Calls whose responses cannot be written, to a peer that reads no more but goes on
// sending, leave the table and stop counting.
func TestUnwritableResponses(t *testing.T) {
	const limit = 4
	sc, theirs := servedPair(t, echoMethods(), WithServerMaxCalls(limit))
	theirs.CloseRead()
	w := newWire(theirs)
	request := mustMarshal(&Request{Service: testService, Method: "Echo", Payload: mustMarshal(&KeyValue{Value: "x"})})
	for id := streamID(1); id < 4000; id += 2 {
		if err := w.tryWrite(header{id: id, typ: messageTypeRequest}, request); err != nil {
			break // the server has ended the connection
		}
	}
	waitFor(t, "an empty table", func() bool { return tableSize(sc.conn) == 0 && sc.running.Load() == 0 })
	w.Close()
}

// requests returns the frames of requests for methods of testService, on streams 1, 3, ….
func requests(methods ...string) (frames []byte) {
	for i, method := range methods {
		body := mustMarshal(&Request{Service: testService, Method: method})
		frame := make([]byte, headerLength)
		putHeader(frame, header{length: uint32(len(body)), id: streamID(2*i + 1), typ: messageTypeRequest})
		frames = append(append(frames, frame...), body...)
	}
	return frames
}

// A handler on the read loop that closes the server and goes on does not hold up the
// responses of earlier calls.
func TestCloseInHandlerWritesResponses(t *testing.T) {
	release := make(chan struct{})
	desc := echoMethods()
	var s *Server
	desc.Methods["Close"] = func(context.Context, func(any) error) (any, error) {
		s.Close()
		<-release
		return &KeyValue{}, nil
	}
	sc, theirs := servedPair(t, desc)
	defer close(release)
	s = sc.server
	makeQuick(t, s, "Echo")
	makeQuick(t, s, "Close")
	if _, err := theirs.Write(requests("Echo", "Close")); err != nil {
		t.Fatal(err)
	}
	theirs.SetReadDeadline(time.Now().Add(testTimeout))
	if f, err := newWire(theirs).tryRead(); err != nil || f.id != 1 {
		t.Errorf("got %v, %v, want the response of stream 1", f.header, err)
	}
}

// A frame that ends the connection does not hold up the responses of earlier calls, which
// the read loop runs: the first one since the second has been read too.
func TestResponseBeforeProtocolError(t *testing.T) {
	sc, theirs := servedPair(t, echoMethods())
	makeQuick(t, sc.server, "Echo")
	w := newWire(theirs)
	if _, err := theirs.Write(append(requests("Echo", "Echo"), bytes.Repeat([]byte{0xff}, headerLength)...)); err != nil {
		t.Fatal(err)
	}
	theirs.SetReadDeadline(time.Now().Add(testTimeout))
	for id := streamID(1); id <= 3; id += 2 {
		if f, err := w.tryRead(); err != nil || f.id != id {
			t.Errorf("got %v, %v, want the response of stream %d", f.header, err, id)
		}
	}
}

// A peer that accepts a long message slowly, but without a pause, gets all of it from a
// client that is closed.
func TestCloseWritesLongMessage(t *testing.T) {
	ours, theirs := socketPair(t)
	ours.SetWriteBuffer(64 << 10)
	c := NewClient(ours)
	cs, err := c.NewStream(testContext(t), &StreamDesc{StreamingClient: true}, testService, "Join", nil)
	if err != nil {
		t.Fatal(err)
	}
	const total = 1 << 20
	if err := cs.SendMsg(&KeyValue{Value: strings.Repeat("x", total)}); err != nil {
		t.Fatal(err)
	}
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		c.Close()
	}()
	received, longest := 0, time.Duration(0)
	for buf, last := make([]byte, 32<<10), time.Now(); ; {
		n, err := theirs.Read(buf)
		received += n
		longest = max(longest, time.Since(last))
		last = time.Now()
		if err != nil {
			break
		}
		time.Sleep(8 * time.Millisecond) // a quarter of a second in all
	}
	// On a machine that is busy with something else the pause may be the test's.
	if received < total && longest < lingerLimit/2 {
		t.Errorf("%d bytes of more than %d came, and %v without any at most", received, total, longest)
	}
	<-closed
}

// A receiver notices that the server breaks the protocol, and ends the stream. Another
// receiver, which may be the leader, notices the end.
func TestRaceReceiversOfBrokenStream(t *testing.T) {
	ours, theirs := socketPair(t)
	c := NewClient(ours)
	defer c.Close()
	go io.Copy(io.Discard, theirs)
	w := newWire(theirs)
	for round := rounds(300); round > 0; round-- {
		cs, err := c.NewStream(context.Background(), &StreamDesc{StreamingClient: true}, testService, "Join", nil)
		if err != nil {
			t.Fatal(err)
		}
		receive := func() error { return cs.RecvMsg(&KeyValue{}) }
		first := goErr(receive)
		for i := round % 30; i > 0; i-- {
			runtime.Gosched()
		}
		second := goErr(receive)
		for i := round % 400; i > 0; i-- {
			runtime.Gosched()
		}
		w.data(cs.(*clientStream).id, 0, &KeyValue{Value: "x"})
		for _, received := range []<-chan error{first, second} {
			if err := within(t, "RecvMsg", received); err == nil {
				t.Fatal("RecvMsg: no error")
			}
		}
	}
}

// A panic handler ends the goroutine of a call that the read loop runs. The call is
// answered, and another read loop reads on.
func TestPanicHandlerGoexit(t *testing.T) {
	desc := echoMethods()
	desc.Methods["Panic"] = func(context.Context, func(any) error) (any, error) { panic("x") }
	sc, theirs := servedPair(t, desc, WithServerPanicHandler(func(context.Context, string, any, []byte) error {
		runtime.Goexit()
		return nil
	}))
	c := NewClient(theirs)
	defer c.Close()
	for i := 0; i < 20; i++ {
		makeQuick(t, sc.server, "Panic")
		if err := c.Call(testContext(t), testService, "Panic", &KeyValue{}, &KeyValue{}); err == nil || err == ErrClosed {
			t.Fatalf("a call of the handler that panics: %v", err)
		}
		if err := echo(testContext(t), c, "x"); err != nil {
			t.Fatalf("the next call: %v", err)
		}
	}
	waitFor(t, "one reader and no call", func() bool {
		readers := 0
		for _, stack := range goroutinesOf("github.com/containerd/ttrpc") {
			if strings.Contains(stack, "(*serverConn).startReadLoop") {
				readers++
			}
		}
		return readers == 1 && tableSize(sc.conn) == 0 && sc.running.Load() == 0
	})
}

// Close returns although the connection's own Close waits for a Write that the peer does
// not read.
func TestCloseWhileConnWaits(t *testing.T) {
	ours, theirs := net.Pipe()
	defer theirs.Close()
	nc := &serialConn{Conn: ours, lock: make(chan struct{}, 1)}
	c := NewClient(nc)
	call := goErr(func() error { return echo(context.Background(), c, "x") })
	waitFor(t, "a write", func() bool { return len(nc.lock) == 1 })
	closed := goErr(c.Close)
	if err := within(t, "Close", closed); err != nil {
		t.Error(err)
	}
	if err := within(t, "Call", call); err != ErrClosed {
		t.Errorf("the call: got %v, want ErrClosed", err)
	}
	io.Copy(io.Discard, theirs)
}

// serialConn is a connection that does one operation at a time.
type serialConn struct {
	net.Conn
	lock chan struct{} // holds an element while Write or Close is in progress
}

func (c *serialConn) Write(p []byte) (int, error) {
	c.lock <- struct{}{}
	defer func() { <-c.lock }()
	return c.Conn.Write(p)
}

func (c *serialConn) Close() error {
	c.lock <- struct{}{}
	defer func() { <-c.lock }()
	return c.Conn.Close()
}
