//go:build go1.25

package ttrpc

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
)

// serverTest is a server in a bubble. The test controls its handlers.
type serverTest struct {
	t      *testing.T
	server *Server
	l      *memListener
	served chan error // sent by Serve
	held   chan *heldCall
	over   chan struct{} // closed at the end of the test
}

// heldCall is a running handler: of Hold, or of a stream Hold….
type heldCall struct {
	ctx       context.Context
	unmarshal func(any) error // of a unary call
	ss        StreamServer    // of a stream
	result    chan heldResult
}

type heldResult struct {
	m   any
	err error
}

// returns ends the handler.
func (c *heldCall) returns(m any, err error) { c.result <- heldResult{m, err} }

// wantRecv checks the handler's next message, and fails if there is none.
func (c *heldCall) wantRecv(t *testing.T, why, value string) {
	t.Helper()
	if m, err := recvNow(c.ss); err != nil || m.Value != value {
		t.Fatalf("%s: the handler received %.80q, %v, want %.80q", why, m.Value, err, value)
	}
}

// wantRecvErr checks that RecvMsg of the handler returns want.
func (c *heldCall) wantRecvErr(t *testing.T, why string, want error) {
	t.Helper()
	if m, err := recvNow(c.ss); err != want {
		t.Fatalf("%s: the handler received %.80q, %v, want %v", why, m.Value, err, want)
	}
}

var errNothingYet = errors.New("nothing yet")

// recvNow is RecvMsg of either end without waiting. If there is nothing to receive, it
// returns errNothingYet, and the test can use the stream no more.
func recvNow(s interface{ RecvMsg(any) error }) (*KeyValue, error) {
	m := &KeyValue{}
	result := make(chan error, 1)
	go func() { result <- s.RecvMsg(m) }()
	synctest.Wait()
	select {
	case err := <-result:
		return m, err
	default:
		return &KeyValue{}, errNothingYet
	}
}

// newServerTest starts a server with the services of echoMethods, and with the methods
// Hold, HoldStream (both sides stream), HoldClient and HoldServer, whose handlers the test
// holds.
func newServerTest(t *testing.T, opts ...ServerOpt) *serverTest {
	t.Helper()
	s, err := NewServer(opts...)
	if err != nil {
		t.Fatal(err)
	}
	st := &serverTest{
		t: t, server: s, l: newMemListener(0),
		served: make(chan error, 1), held: make(chan *heldCall, 100), over: make(chan struct{}),
	}
	desc := echoMethods()
	desc.Methods["Hold"] = func(ctx context.Context, unmarshal func(any) error) (any, error) {
		return st.hold(&heldCall{ctx: ctx, unmarshal: unmarshal})
	}
	for name, stream := range map[string]Stream{
		"HoldStream": {StreamingClient: true, StreamingServer: true},
		"HoldClient": {StreamingClient: true},
		"HoldServer": {StreamingServer: true},
	} {
		stream.Handler = func(ctx context.Context, ss StreamServer) (any, error) {
			return st.hold(&heldCall{ctx: ctx, ss: ss})
		}
		desc.Streams[name] = stream
	}
	s.RegisterService(testService, desc)
	go func() { st.served <- s.Serve(context.Background(), st.l) }()
	t.Cleanup(func() {
		close(st.over)
		s.Close()
		if err := <-st.served; err != ErrServerClosed {
			t.Errorf("Serve: got %v, want ErrServerClosed", err)
		}
		synctest.Wait()
		s.mu.Lock()
		defer s.mu.Unlock()
		if len(s.conns) > 0 || len(s.listeners) > 0 {
			t.Errorf("the closed server knows %d connections and %d listeners", len(s.conns), len(s.listeners))
		}
	})
	return st
}

func (st *serverTest) hold(c *heldCall) (any, error) {
	c.result = make(chan heldResult)
	st.held <- c
	select {
	case r := <-c.result:
		return r.m, r.err
	case <-st.over:
		return nil, errors.New("the test is over")
	}
}

// start sends a request and returns the handler that the request starts.
func (st *serverTest) start(p *peer, req rawFrame) *heldCall {
	st.t.Helper()
	p.send(req)
	return st.call()
}

// call returns the handler that has started.
func (st *serverTest) call() *heldCall {
	st.t.Helper()
	synctest.Wait()
	select {
	case c := <-st.held:
		return c
	default:
		st.t.Fatal("no handler was started")
		return nil
	}
}

// dial connects a peer.
func (st *serverTest) dial() *peer {
	st.t.Helper()
	conn := st.l.dial()
	st.t.Cleanup(func() { conn.Close() })
	return &peer{t: st.t, conn: conn}
}

// wantStreams checks the number of streams of the server's only connection.
func (st *serverTest) wantStreams(why string, want int) {
	st.t.Helper()
	synctest.Wait()
	st.server.mu.Lock()
	defer st.server.mu.Unlock()
	for sc := range st.server.conns {
		sc.conn.mu.Lock()
		got := len(sc.conn.streams)
		sc.conn.mu.Unlock()
		if got != want {
			st.t.Fatalf("%s: the table has %d streams, want %d", why, got, want)
		}
		return
	}
	st.t.Fatalf("%s: the server has no connection", why)
}

// alive checks that the connection serves a call.
func (p *peer) alive(why string, id streamID) {
	p.t.Helper()
	p.send(request(id, "Echo", 0, text(why)))
	p.want(why, response(id, text(why)))
}

// serverPeer is newServerTest with one connection.
func serverPeer(t *testing.T, opts ...ServerOpt) (*serverTest, *peer) {
	t.Helper()
	st := newServerTest(t, opts...)
	return st, st.dial()
}
