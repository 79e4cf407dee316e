//go:build go1.25

package ttrpc

import (
	"context"
	"io"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// The end of the connection, in every way in which it can end.
func TestClientConnectionEnds(t *testing.T) {
	for name, end := range map[string]func(p *peer){
		"close":        func(p *peer) { p.conn.Close() },
		"half-close":   func(p *peer) { p.conn.CloseWrite() },
		"in a header":  func(p *peer) { p.sendBytes([]byte{0, 0, 0}); p.conn.CloseWrite() },
		"in a payload": func(p *peer) { p.sendBytes([]byte{0, 0, 0, 5, 0, 0, 0, 1, 2, 0, 'x'}); p.conn.Close() },
		"oversized":    func(p *peer) { p.sendBytes([]byte{0, 255, 0, 5, 0, 0, 0, 9, 2, 0, 'x'}); p.conn.Close() },
	} {
		end := end
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				var closed atomic.Int32
				c, p := clientPeer(t, WithOnClose(func() { closed.Add(1) }))
				call := goCall(t, context.Background(), c, text("x"))
				p.next("the request")
				cs := open(t, context.Background(), c, bidi, nil)
				p.next("the other")
				end(p)
				if err := call.err("the end"); err != ErrClosed {
					t.Errorf("a call: got %v, want ErrClosed, bare", err)
				}
				wantEnd(t, cs, "a stream", ErrClosed)
				if err := cs.SendMsg(text("x")); err != ErrClosed {
					t.Errorf("SendMsg: got %v, want ErrClosed, bare", err)
				}
				if err := goCall(t, context.Background(), c, text("x")).err("later"); err != ErrClosed {
					t.Errorf("a later call: got %v, want ErrClosed, bare", err)
				}
				if _, err := c.NewStream(context.Background(), bidi, testService, "EchoStream", nil); err != ErrClosed {
					t.Errorf("a later stream: got %v, want ErrClosed, bare", err)
				}
				if n, _ := tableOf(c.conn); n > 0 {
					t.Errorf("the connection that has ended has %d streams", n)
				}
				p.wantClosed("the client closes its end, too")
				c.Close()
				c.Close()
				synctest.Wait()
				if n := closed.Load(); n != 1 {
					t.Errorf("OnClose was called %d times", n)
				}
			})
		})
	}
}

func TestClientReadError(t *testing.T) {
	for _, want := range []error{errNoMemory, syscall.ETIMEDOUT, io.ErrShortBuffer} {
		want := want
		bubble(t, func(t *testing.T) {
			c, p := clientPeer(t)
			call := goCall(t, context.Background(), c, text("x"))
			p.next("the request")
			c.conn.ch.conn.(*memConn).failRead(want)
			if err := call.err("a read error"); err != ErrClosed {
				t.Errorf("got %v, want ErrClosed, bare", err)
			}
			p.wantClosed(want.Error())
		})
	}
}

// A response that is there when the connection ends is delivered.
func TestClientResponseThenClose(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, p := clientPeer(t)
		call := goCall(t, context.Background(), c, text("x"))
		p.next("the request")
		cs := open(t, context.Background(), c, bidi, nil)
		p.next("the other")
		p.send(data(3, 0, text("one")), data(3, flagRemoteClosed, text("two")), response(1, text("in time")))
		p.conn.Close()
		call.wantValue("the response came before the end", "in time")
		wantMsg(t, cs, "and data", "one")
		wantMsg(t, cs, "and data", "two")
		wantEnd(t, cs, "and the end of the stream", io.EOF)
	})
}

// When nothing can be written any more the client goes on reading for a while:
// the server may have answered before it went away.
func TestClientWriteError(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, p := clientPeer(t)
		first := goCall(t, context.Background(), c, text("x"))
		p.next("the request")
		second := goCall(t, context.Background(), c, text("x"))
		p.next("another")
		c.conn.ch.conn.(*memConn).failWrite(errPipe)
		third := goCall(t, context.Background(), c, text("x"))
		synctest.Wait()
		time.Sleep(lateLimit - time.Millisecond)
		second.wantPending("while the client goes on reading")
		p.send(response(1, text("in time")))
		first.wantValue("a response after writing has failed", "in time")
		if err := goCall(t, context.Background(), c, text("x")).err("a call after writing has failed"); err != ErrClosed {
			t.Errorf("a call after writing has failed: got %v, want ErrClosed", err)
		}
		time.Sleep(2 * time.Millisecond)
		for _, call := range []*clientCall{second, third} {
			if err := call.err("after the limit"); err != ErrClosed {
				t.Errorf("after the limit: got %v, want ErrClosed", err)
			}
		}
		p.wantClosed("after the limit")
	})
}
