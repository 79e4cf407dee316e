//go:build go1.25 && unix

package ttrpc

import (
	"context"
	"fmt"
	"net"
	"testing"
	"testing/synctest"
	"time"
)

// FuzzProgram runs a random program of operations on a client and a server, and checks each
// result against a small model. It runs in a bubble, where inboxes are small and unread
// streams fail; in a bubble with extensions, where the senders of such streams wait; and
// over a kernel socket, where time is real and inboxes are large.
func FuzzProgram(f *testing.F) {
	f.Add([]byte{0, 0, 5, 0, 200})                                    // calls
	f.Add([]byte{1, 1, 9, 4, 7, 0, 5, 6, 0})                          // errors between calls
	f.Add([]byte{0, 2, 0, 3, 0, 3, 0, 4, 0, 4, 0, 5, 0, 4, 0})        // a stream
	f.Add([]byte{2, 2, 0, 2, 0, 3, 1, 3, 0, 4, 1, 6, 0, 4, 0, 4, 1})  // two, one is cancelled
	f.Add([]byte{1, 9, 20, 4, 0, 4, 0, 0, 1})                         // a server's stream
	f.Add([]byte{0, 2, 0, 3, 0, 11, 0, 4, 0, 0, 1, 2, 0})             // Close
	f.Add([]byte{0, 2, 0, 3, 0, 12, 0, 4, 0, 0, 1})                   // the server closes
	f.Add([]byte{0, 2, 0, 13, 0, 0, 3, 3, 0, 4, 0, 5, 0, 4, 0, 0, 1}) // Shutdown
	f.Add([]byte{0, 2, 0, 3, 0, 14, 0, 4, 0, 0, 1})                   // the connection is lost
	f.Add([]byte{2, 2, 0, 3, 0, 10, 9, 7, 0, 3, 0, 10, 9, 4, 0, 5, 0, 4, 0, 4, 0})
	f.Add([]byte{0, 15, 90, 15, 200, 15, 150, 2, 0, 3, 160, 3, 200, 4, 0, 4, 0, 5, 0})                  // responses over the limit
	f.Add([]byte{0, 2, 0, 3, 0, 3, 0, 3, 0, 3, 0, 3, 0, 3, 0, 3, 0, 3, 0, 4, 0, 4, 0, 4, 0, 4, 0, 4, 0, // an inbox
		3, 0, 3, 0, 4, 0, 4, 0, 4, 0, 4, 0, 4, 0, 5, 0, 4, 0})
	// Readers that are late: they fail, others do not, and one reads in time.
	f.Add([]byte{0, 2, 0, 3, 100, 3, 100, 3, 100, 3, 100, 3, 100, 3, 100, 0, 3, 16, 0, 4, 0, 4, 0, 3, 0, 0, 1})
	f.Add([]byte{0, 9, 200, 0, 3, 10, 50, 4, 0, 2, 0, 3, 1, 4, 1, 16, 0, 4, 0, 4, 0, 4, 1})
	f.Add([]byte{1, 9, 120, 2, 0, 3, 121, 3, 121, 3, 121, 3, 121, 3, 121, 3, 121, 16, 0, 0, 1, 13, 0, 0, 1})
	f.Add([]byte{0, 2, 0, 3, 100, 3, 100, 3, 100, 3, 100, 10, 90, 4, 0, 4, 0, 3, 100, 10, 90, 4, 0, 4, 0, 16, 0, 5, 0})
	// A sender on a stream that failed, and then the connection ends.
	f.Add([]byte("0809090909090909090900090"))
	// A handler that is slow.
	f.Add([]byte{2, 17, 0, 3, 90, 3, 90, 3, 90, 3, 90, 3, 90, 0, 9, 4, 0, 4, 0, 4, 0, 4, 0, 4, 0, 5, 0, 16, 0, 4, 0})
	f.Fuzz(func(t *testing.T, code []byte) {
		if len(code) > 300 {
			return
		}
		for _, place := range []programPlace{programInBubble, programWithWindows} {
			bubble(t, func(t *testing.T) { runProgram(t, code, place) })
			if t.Failed() {
				return
			}
		}
		keepLedger(t, func() {
			runProgram(t, code, programOnSocket)
			settle(t)
		})
	})
}

// program is the model of a client and a server.
type program struct {
	t         *testing.T
	place     programPlace
	c         *Client
	streams   []*programStream
	draining  bool // the server takes no more calls
	ended     bool // the connection is over
	unsettled bool // a reader or handler is slow, so the connection may stand still
	sent      int
}

func runProgram(t *testing.T, code []byte, place programPlace) {
	s, err := NewServer(WithServerLimits(place.limits()), WithServerLogger(discardLogger{}))
	if err != nil {
		t.Fatal(err)
	}
	s.RegisterService(testService, programMethods(place))
	l := newMemListener(0)
	served := make(chan error, 1)
	go func() { served <- s.Serve(context.Background(), l) }()
	capacity := 0
	if len(code) > 0 {
		capacity = []int{0, 100, 5000, 1}[code[0]%4]
		code = code[1:]
	}
	var near, far net.Conn
	if place == programOnSocket {
		near, far = socketPair(t)
	} else {
		near, far = memPipe(capacity)
	}
	l.hand(far)
	p := &program{t: t, place: place, c: NewClient(near, WithClientLimits(place.limits()), WithClientExtensions(place == programWithWindows))}
	if place == programWithWindows {
		p.want("Echo", echo(context.Background(), p.c, "an offer"), noError)
	}

	for ; len(code) >= 2 && !t.Failed(); code = code[2:] {
		switch op, arg := code[0]%18, int(code[1]); op {
		case 11:
			p.c.Close()
			p.ended = true
		case 12:
			s.Close()
			p.end()
		case 13:
			if place == programOnSocket && !p.ended && !p.draining {
				// The server has read all earlier frames after this call.
				p.want("Echo", echo(testContext(t), p.c, "before Shutdown"), noError)
			}
			p.draining = true
			ctx, cancel := context.WithCancel(context.Background())
			cancel()
			s.Shutdown(ctx)
		case 14:
			near.Close()
			far.Close()
			p.end()
		case 16:
			p.settle()
		default:
			p.step(op, arg)
		}
		p.wantTable()
	}
	if !t.Failed() {
		p.settle()
	}

	p.c.Close()
	s.Close()
	p.ended = true
	for _, ps := range p.streams {
		receiveAll(ps.cs)
		ps.cancel()
	}
	if err := p.c.UserOnCloseWait(context.Background()); err != nil {
		t.Error(err)
	}
	if err := <-served; err != ErrServerClosed {
		t.Errorf("Serve: got %v", err)
	}
	if place != programOnSocket {
		time.Sleep(afterwards)
	}
	waitFor(t, "the closed server to lose its connection", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return len(s.conns) == 0
	})
}

// open returns the least and the largest number of streams that the client may have.
func (p *program) open() (least, most int) {
	for _, ps := range p.streams {
		switch {
		case ps.cancelled || ps.failed:
		case p.unsettled || p.place == programWithWindows && ps.held():
			most++ // the end of the stream may still be in transit
		case !ps.closed:
			least++
			most++
		}
	}
	return least, most
}

// serving reports whether a handler is running. Without extensions the handler goes on when
// the client gives its stream up.
func (p *program) serving() bool {
	for _, ps := range p.streams {
		if !ps.closed && !(ps.cancelled && p.place == programWithWindows) {
			return true
		}
	}
	return false
}

// mayEnd reports whether the connection may have ended without the model's knowledge: the
// server of a stream that failed may know the end, and end with its last call.
func (p *program) mayEnd() bool {
	if !p.draining {
		return false
	}
	for _, ps := range p.streams {
		if ps.failed || ps.late || p.place == programWithWindows && (ps.held() || ps.cancelled) {
			return true
		}
	}
	return p.unsettled && !p.serving()
}

// wantTable checks the table of the client when everything is at rest.
func (p *program) wantTable() {
	p.t.Helper()
	if p.place == programOnSocket {
		var err error
		defer func() {
			if err != nil {
				p.t.Error(err)
			}
		}()
		waitFor(p.t, "the table to be right", func() bool { err = p.checkTable(); return err == nil })
		return
	}
	time.Sleep(tick) // for a server that waits whether a handler is quick
	synctest.Wait()
	if err := p.checkTable(); err != nil {
		p.t.Error(err)
	}
}

func (p *program) checkTable() error {
	if p.draining && !p.serving() && !p.mayEnd() {
		p.ended = true // the server closes with its last call
	}
	got, over := tableOf(p.c.conn)
	if over != nil && p.mayEnd() {
		p.ended = true
	}
	least, most := p.open()
	if p.ended {
		least, most = 0, 0
	}
	if got < least || got > most {
		return fmt.Errorf("the client has %d streams, want %d to %d", got, least, most)
	}
	if (over != nil) != p.ended {
		return fmt.Errorf("the connection has ended: %v, want %v", over, p.ended)
	}
	return nil
}

// end records that the connection ends by another operation. While the connection pauses,
// the client does not notice the end at once.
func (p *program) end() {
	p.ended = true
	if p.unsettled {
		p.settle()
	}
}

// settle waits until all pauses of the connection are over. By then a stream has failed if
// and only if too much has been waiting in it.
func (p *program) settle() {
	if p.place != programOnSocket {
		time.Sleep(2 * time.Minute)
		synctest.Wait()
	}
	p.unsettled = false
	if p.ended {
		return
	}
	for i, ps := range p.streams {
		if !ps.late || ps.cancelled {
			continue
		}
		least, most := ps.waits()
		// A stream whose handler has sent all, and had room for it, ends as well.
		gone := p.c.conn.lookup(ps.cs.(*clientStream).id) == nil
		ps.failed = ps.failed || gone && !ps.closed
		if least >= programInbox && !gone {
			p.t.Errorf("stream %d has not failed, and %d bytes wait in it", i, least)
		}
		if !gone {
			ps.late = most >= programInbox
		}
	}
}

// noteWaiting records the possible fates of a stream that gets messages.
func (p *program) noteWaiting(ps *programStream) {
	if p.place == programOnSocket {
		return
	}
	p.unsettled = p.unsettled || ps.slow
	if p.place == programWithWindows {
		return
	}
	if _, most := ps.waits(); most >= programInbox {
		ps.late, p.unsettled = true, true
	}
}
