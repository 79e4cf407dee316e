//go:build go1.25

//go:debug asynctimerchan=0

package ttrpc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
)

// The tests of the protocol run in bubbles of testing/synctest: one end of a connection
// against a peer that is a script of frames. Time is fake in a bubble, a test can see that
// nothing happens, and a bubble that does not end is a failure.

// bubble runs f in a bubble. At the end of the bubble no goroutine and no buffer may be
// left.
func bubble(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	settle(t)
	keepLedger(t, func() {
		synctest.Test(t, func(t *testing.T) {
			t.Cleanup(func() { time.Sleep(afterwards) }) // the last one to run
			f(t)
		})
	})
}

// afterwards is longer than any work that goes on after a connection was closed.
const afterwards = 2 * lateLimit

// rawFrame is a frame as a script writes it.
type rawFrame struct {
	id    streamID
	typ   messageType
	flags flags
	body  []byte
}

func (f rawFrame) header() header {
	return header{length: uint32(len(f.body)), id: f.id, typ: f.typ, flags: f.flags}
}

func (f rawFrame) encode() []byte {
	b := make([]byte, headerLength, headerLength+len(f.body))
	putHeader(b, f.header())
	return append(b, f.body...)
}

func (f rawFrame) String() string {
	if len(f.body) > 80 {
		return f.header().String()
	}
	return fmt.Sprintf("%v: %q", f.header(), f.body)
}

func (f rawFrame) equal(g rawFrame) bool {
	return f.header() == g.header() && bytes.Equal(f.body, g.body)
}

func request(id streamID, method string, fl flags, m proto.Message) rawFrame {
	req := &Request{Service: testService, Method: method}
	if m != nil {
		req.Payload = mustMarshal(m)
	}
	return requestFrame(id, fl, req)
}

func requestFrame(id streamID, fl flags, req *Request) rawFrame {
	return rawFrame{id: id, typ: messageTypeRequest, flags: fl, body: mustMarshal(req)}
}

// kindOf returns the flags of a request for one of the server's methods Hold….
func kindOf(method string) flags {
	switch method {
	case "HoldStream", "HoldClient":
		return flagRemoteOpen
	case "HoldServer":
		return flagRemoteClosed
	}
	return 0
}

// response returns a successful response, with the empty status that the client of June
// 2019 needs.
func response(id streamID, m proto.Message) rawFrame {
	return rawFrame{id: id, typ: messageTypeResponse, body: mustMarshal(&Response{Status: &spb.Status{}, Payload: mustMarshal(m)})}
}

func failure(id streamID, code codes.Code, message string) rawFrame {
	return rawFrame{id: id, typ: messageTypeResponse, body: mustMarshal(&Response{Status: newStatus(code, "%s", message)})}
}

// data returns a data frame with m, or without a message for nil.
func data(id streamID, fl flags, m proto.Message) rawFrame {
	f := rawFrame{id: id, typ: messageTypeData, flags: fl}
	if m != nil {
		f.body = mustMarshal(m)
	}
	return f
}

// A peer is the scripted end of a connection.
type peer struct {
	t      *testing.T
	conn   *memConn
	unread []byte
}

// send writes frames in one call.
func (p *peer) send(frames ...rawFrame) {
	p.t.Helper()
	var b []byte
	for _, f := range frames {
		b = append(b, f.encode()...)
	}
	p.sendBytes(b)
}

func (p *peer) sendBytes(b []byte) {
	p.t.Helper()
	if _, err := p.conn.Write(b); err != nil {
		p.t.Fatalf("write to the connection under test: %v", err)
	}
}

// receive lets the other end run until it waits, and takes its frames.
func (p *peer) receive() {
	synctest.Wait()
	p.unread = append(p.unread, p.conn.takeAll()...)
	if len(p.unread) == 0 {
		time.Sleep(2 * time.Millisecond) // a timer may have more to write
		synctest.Wait()
		p.unread = append(p.unread, p.conn.takeAll()...)
	}
}

// next returns the next frame, and fails if there is none.
func (p *peer) next(why string) rawFrame {
	p.t.Helper()
	if len(p.unread) < headerLength {
		p.receive()
	}
	if len(p.unread) < headerLength {
		p.t.Fatalf("%s: no frame came, only %q", why, p.unread)
	}
	h := parseHeader(p.unread)
	end := headerLength + int(h.length)
	for len(p.unread) < end {
		before := len(p.unread)
		p.receive()
		if len(p.unread) == before {
			p.t.Fatalf("%s: only %d bytes came of a %v", why, len(p.unread), h)
		}
	}
	f := rawFrame{id: h.id, typ: h.typ, flags: h.flags, body: p.unread[headerLength:end:end]}
	p.unread = p.unread[end:]
	return f
}

// want checks the next frames. It does not check whether more frames follow.
func (p *peer) want(why string, frames ...rawFrame) {
	p.t.Helper()
	for _, want := range frames {
		if got := p.next(why); !got.equal(want) {
			p.t.Fatalf("%s:\n got %v\nwant %v", why, got, want)
		}
	}
}

// wantStatus checks that the next frame is a response with this code, and
// returns the status.
func (p *peer) wantStatus(why string, id streamID, code codes.Code) *spb.Status {
	p.t.Helper()
	f := p.next(why)
	var resp Response
	if err := proto.Unmarshal(f.body, &resp); err != nil {
		p.t.Fatalf("%s: %v: %v", why, f, err)
	}
	if f.id != id || f.typ != messageTypeResponse || f.flags != 0 {
		p.t.Fatalf("%s: got %v, want a response on stream %d", why, f, id)
	}
	if got := codes.Code(resp.GetStatus().GetCode()); got != code {
		p.t.Fatalf("%s: got %v (%s), want %v", why, got, resp.GetStatus().GetMessage(), code)
	}
	return resp.GetStatus()
}

// wantRequest checks the header of the next frame, and returns the request.
func (p *peer) wantRequest(why string, id streamID, fl flags) *Request {
	p.t.Helper()
	f := p.next(why)
	if f.id != id || f.typ != messageTypeRequest || f.flags != fl {
		p.t.Fatalf("%s: got %v, want a request on stream %d with flags %#x", why, f, id, fl)
	}
	req := &Request{}
	if err := proto.Unmarshal(f.body, req); err != nil {
		p.t.Fatalf("%s: %v", why, err)
	}
	return req
}

// wantNothing checks that no frame arrives and that the connection is open.
func (p *peer) wantNothing(why string) {
	p.t.Helper()
	p.receive()
	if len(p.unread) > 0 {
		if len(p.unread) < headerLength {
			p.t.Fatalf("%s: got %q, want nothing", why, p.unread)
		}
		p.t.Fatalf("%s: got %v, want nothing", why, p.next(why))
	}
	if p.conn.ended() {
		p.t.Fatalf("%s: the connection is closed", why)
	}
}

// wantClosed checks that the connection is closed and that no frame arrived before.
func (p *peer) wantClosed(why string) {
	p.t.Helper()
	p.receive()
	if len(p.unread) > 0 {
		p.t.Fatalf("%s: got %q, want the end of the connection", why, p.unread)
	}
	if !p.conn.ended() {
		p.t.Fatalf("%s: the connection is open", why)
	}
}

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

// clientPeer returns a client whose server is a script.
func clientPeer(t *testing.T, opts ...ClientOpts) (*Client, *peer) {
	t.Helper()
	near, far := memPipe(0)
	c := NewClient(near, opts...)
	t.Cleanup(func() {
		c.Close()
		if err := c.UserOnCloseWait(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return c, &peer{t: t, conn: far}
}

// clientCall is a running unary call.
type clientCall struct {
	t      *testing.T
	resp   KeyValue
	result chan error
}

// goCall starts a call to Echo.
func goCall(t *testing.T, ctx context.Context, c *Client, m any) *clientCall {
	call := &clientCall{t: t, result: make(chan error, 1)}
	go func() { call.result <- c.Call(ctx, testService, "Echo", m, &call.resp) }()
	return call
}

// err returns the error of the call, which must have returned.
func (c *clientCall) err(why string) error {
	c.t.Helper()
	synctest.Wait()
	select {
	case err := <-c.result:
		return err
	default:
		c.t.Fatalf("%s: the call has not returned", why)
		return nil
	}
}

// wantValue checks that the call succeeded.
func (c *clientCall) wantValue(why, value string) {
	c.t.Helper()
	if err := c.err(why); err != nil || c.resp.Value != value {
		c.t.Fatalf("%s: the call returned %q, %v, want %q", why, c.resp.Value, err, value)
	}
}

// wantPending checks that the call has not returned.
func (c *clientCall) wantPending(why string) {
	c.t.Helper()
	synctest.Wait()
	select {
	case err := <-c.result:
		c.t.Fatalf("%s: the call returned %v", why, err)
	default:
	}
}
