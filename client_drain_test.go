//go:build go1.25

package ttrpc

import (
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// goawayOf is a goaway frame of a script.
func goawayOf(last streamID) rawFrame {
	return frameOf(goaway{lastID: last, text: "the server is shutting down"}.frame())
}

// wantRefused checks the error of a call that a server in Shutdown has not begun.
func wantRefused(t *testing.T, why string, err error) {
	t.Helper()
	if err != ErrDraining || !errors.Is(err, ErrClosed) || status.Code(err) != codes.Unavailable {
		t.Errorf("%s: got %v, want ErrDraining", why, err)
	}
}

// wantClosedBy checks the end of a connection whose server has shut down: calls get bare
// ErrClosed, and Err says whether a call was cut off.
func wantClosedBy(t *testing.T, why string, c *Client, cutOff bool) {
	t.Helper()
	synctest.Wait()
	if err := c.Err(); !errors.Is(err, ErrClosed) || !errors.Is(err, io.EOF) || errors.Is(err, ErrDraining) == cutOff {
		t.Errorf("%s: Err is %v, and calls were cut off: %v", why, err, cutOff)
	}
	if err := echo(context.Background(), c, "x"); err != ErrClosed {
		t.Errorf("%s: a call got %v, want ErrClosed itself", why, err)
	}
	if _, err := c.NewStream(context.Background(), bidi, testService, "EchoStream", nil); err != ErrClosed {
		t.Errorf("%s: a stream got %v, want ErrClosed itself", why, err)
	}
}

// After a notice the client makes no new calls. Calls that the server has begun finish.
func TestClientDrains(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, p := clientPeer(t)
		p.extendClient(c)
		ctx := context.Background()
		begun := goCall(t, ctx, c, text("x"))
		p.wantRequest("a call", 3, 0)
		refused := goCall(t, ctx, c, text("x"))
		p.wantRequest("another", 5, 0)
		stream := open(t, ctx, c, bidi, nil)
		p.wantRequest("a stream", 7, flagRemoteOpen|flagNoData)
		draining := c.Draining()
		if isClosed(draining) {
			t.Fatal("drains before the notice")
		}
		p.send(goawayOf(3), goawayOf(1))
		refused.wantPending("a call that the server has not answered yet")
		if !isClosed(draining) || !isClosed(c.Draining()) {
			t.Error("Draining does not tell")
		}
		start := time.Now()
		wantRefused(t, "a new call", echo(ctx, c, "x"))
		_, err := c.NewStream(ctx, bidi, testService, "EchoStream", nil)
		wantRefused(t, "a new stream", err)
		if took := time.Since(start); took != 0 {
			t.Errorf("new calls were refused after %v, want at once", took)
		}
		p.wantNothing("after the notice")
		p.send(failure(5, codes.Unavailable, "the server is shutting down"), failure(7, codes.Unavailable, "the server is shutting down"))
		wantRefused(t, "a call that was on its way", refused.err("the call on its way"))
		wantRefused(t, "a stream that was on its way", stream.RecvMsg(text("")))
		p.send(response(3, text("done")))
		begun.wantValue("a call that runs", "done")

		// Nothing runs: a server ends the connection now, as one of a release does.
		late := goCall(t, ctx, c, text("x"))
		late.wantPending("a call when nothing runs")
		p.conn.Close()
		if err := late.err("the end"); err != ErrClosed {
			t.Errorf("a call when nothing runs: got %v, want ErrClosed itself", err)
		}
		wantClosedBy(t, "the end", c, false)
	})
}

// A server goes on that still runs a call on which the client has given up.
func TestClientDrainsSlowly(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, p := clientPeer(t)
		p.extendClient(c)
		p.send(goawayOf(1))
		synctest.Wait()
		start := time.Now()
		wantRefused(t, "a call when nothing runs", echo(context.Background(), c, "x"))
		if took := time.Since(start); took != lingerLimit {
			t.Errorf("a call when nothing runs took %v, want %v", took, lingerLimit)
		}
		ctx, cancel := context.WithTimeout(context.Background(), lingerLimit/2)
		defer cancel()
		if err := echo(ctx, c, "x"); err != context.DeadlineExceeded {
			t.Errorf("with a context that ends: got %v", err)
		}
		p.wantNothing("after the notice")
	})
}

// At the end of the connection calls return only ErrClosed, as from releases, and Err says
// whether the server has cut a call off.
func TestClientDrainsToTheEnd(t *testing.T) {
	for name, test := range map[string]struct {
		last   streamID // of the notice
		cutOff bool
	}{
		"a call that the server has begun":     {3, true},
		"a call that the server has not begun": {1, false},
	} {
		bubble(t, func(t *testing.T) {
			c, p := clientPeer(t)
			p.extendClient(c)
			call := goCall(t, context.Background(), c, text("x"))
			p.wantRequest(name, 3, 0)
			p.send(goawayOf(test.last))
			p.conn.Close()
			if err := call.err(name); err != ErrClosed {
				t.Errorf("%s: got %v, want ErrClosed itself", name, err)
			}
			wantClosedBy(t, name, c, test.cutOff)
		})
	}
	bubble(t, func(t *testing.T) {
		c, p := clientPeer(t)
		p.extendClient(c)
		p.conn.Close()
		<-c.Draining()
		wantClosedBy(t, "no notice", c, true)
	})
	bubble(t, func(t *testing.T) {
		c, p := clientPeer(t)
		p.extendClient(c)
		p.send(goawayOf(1))
		synctest.Wait()
		c.Close()
		if err := c.Err(); err != ErrClosed {
			t.Errorf("Close after the notice: Err is %v", err)
		}
	})
	bubble(t, func(t *testing.T) {
		c, p := clientPeer(t)
		p.extendClientBy(c, settings{version: 1, features: featureCancel})
		p.send(goawayOf(1), rawFrame{typ: messageTypeGoaway})
		call := goCall(t, context.Background(), c, text("x"))
		p.wantRequest("a call after a notice that is not in use", 3, 0)
		p.send(response(3, text("done")))
		call.wantValue("a call after a notice that is not in use", "done")
	})
	var zero Client
	if !isClosed(zero.Draining()) {
		t.Error("a zero Client does not drain")
	}
}

// The client reads the notice of a server that has gone, although its write fails first.
func TestClientReadsNoticeAfterFailedWrite(t *testing.T) {
	for _, answered := range []bool{false, true} {
		bubble(t, func(t *testing.T) {
			c, p := clientPeer(t)
			p.extendClient(c)
			var first *clientCall
			if answered {
				first = goCall(t, context.Background(), c, text("x"))
				p.wantRequest("a call", 3, 0)
			}
			c.conn.ch.w.fail(io.ErrClosedPipe)
			if err := echo(context.Background(), c, "x"); err != ErrClosed {
				t.Errorf("a call after the failed write: got %v", err)
			}
			if answered {
				p.send(response(3, text("done")))
				first.wantValue("the first call", "done")
			}
			time.Sleep(2 * lingerLimit)
			p.send(goawayOf(3))
			p.conn.Close()
			wantClosedBy(t, "the end", c, false)
		})
	}
}
