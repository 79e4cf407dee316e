//go:build go1.25

//go:debug asynctimerchan=0

package ttrpc

import (
	"strings"
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

// tick is less than any limit, and more than the time in which the server notices
// that a handler is slow.
const tick = 5 * time.Millisecond

// wantElapsed checks that it is about d after start.
func wantElapsed(t *testing.T, why string, start time.Time, d time.Duration) {
	t.Helper()
	if got := time.Since(start); got < d-tick || got > d+tick {
		t.Errorf("%s: after %v, want %v", why, got, d)
	}
}

const (
	smallInbox = 2000
	filler     = 600 // bytes of a message, of which two fill a small inbox
)

func fill(id streamID) rawFrame { return data(id, 0, text(strings.Repeat("f", filler))) }
