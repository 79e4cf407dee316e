//go:build go1.25

package ttrpc

import (
	"context"
	"errors"
	"io"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// A client offers extensions in requests up to just maxOfferRequest, and ends the offer when
// the server answers the request that carried it.
func TestOfferEndsByAnswer(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, _ := clientPeer(t)
		if !c.mayOffer(maxOfferRequest) || c.mayOffer(maxOfferRequest+1) {
			t.Error("the longest request with an offer has another length")
		}
		cl := newCall()
		c.noteAnswer(cl)
		if !c.conn.ext.is(offering) {
			t.Error("the answer to a request without the offer ends it")
		}
		cl.offers = true
		c.noteAnswer(cl)
		if !c.conn.ext.is(plain) {
			t.Error("the answer to the offer does not end it")
		}
	})
}

// An answer that fails its call ends the offer, too.
func TestOfferEndsByFailedCall(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, p := clientPeer(t)
		call := goCall(t, context.Background(), c, text("x"))
		p.next("the offer")
		own := errors.New("too long")
		if err := c.streamFailed(&streamError{h: header{id: 1, typ: messageTypeResponse}, err: own}); err != nil {
			t.Error(err)
		}
		if err := call.err("the failed call"); err != own {
			t.Errorf("got %v", err)
		}
		if !c.conn.ext.is(plain) {
			t.Error("the client still offers extensions")
		}
	})
}

// An idle client that cannot write ends its connection, even if reading returns nothing.
func TestIdleClientEndsAfterFailedWrite(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, _ := clientPeer(t)
		c.writeFailed(io.ErrClosedPipe)
		time.Sleep(2 * lingerLimit)
		if err := c.Err(); !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("the connection has ended with %v", err)
		}
	})
}

// A call that is kept for reuse refers to no metadata.
func TestReusedCallKeepsNoMetadata(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, _ := clientPeer(t, WithClientLimits(Limits{MaxMessageLength: 1000}))
		var r ResponseMetadata
		ctx := WithResponseMetadata(context.Background(), &r)
		cl := newCall()
		cl.received = beginMetadata(ctx)
		cl.result <- callResult{}
		c.await(ctx, cl, false)
		if cl.received != nil {
			t.Error("a call with a result keeps its metadata")
		}
		cl = newCall()
		c.calls = sync.Pool{New: func() any { return cl }}
		long := &requestEnvelope{service: testService, method: string(make([]byte, 1000))}
		if err := c.roundTrip(ctx, long, nil); err == nil {
			t.Error("a request that is too long: no error")
		}
		if cl.received != nil {
			t.Error("a call that was not sent keeps its metadata")
		}
	})
}

// stopRecorder is a context that records the end of a watch on it.
type stopRecorder struct {
	context.Context
	done    chan struct{}
	stopped int
}

func (r *stopRecorder) Done() <-chan struct{} { return r.done }

func (r *stopRecorder) AfterFunc(func()) func() bool {
	return func() bool {
		r.stopped++
		return true
	}
}

// A stream that is not opened leaves no watch on its context.
func TestUnopenedStreamLeavesNoWatch(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, _ := clientPeer(t)
		c.Close()
		ctx := &stopRecorder{Context: context.Background(), done: make(chan struct{})}
		if _, err := c.NewStream(ctx, bidi, testService, "M", nil); err != ErrClosed {
			t.Errorf("got %v, want ErrClosed", err)
		}
		if ctx.stopped != 1 {
			t.Errorf("the watch has ended %d times, want once", ctx.stopped)
		}
	})
}

// A watch that was stopped does nothing when its context ends, although a goroutine keeps it.
func TestStoppedWatchDoesNothing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		ctx := &stopRecorder{Context: context.Background(), done: make(chan struct{})}
		stop := watchContext(ctx, ctx.done, func() { t.Error("the watch goes on") })
		stop()
		synctest.Wait()
		close(ctx.done)
		synctest.Wait()
	})
}

// A stream on a connection without extensions has no windows.
func TestPlainStreamHasNoWindows(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, _ := clientPeer(t)
		c.conn.ext.set(plain)
		cs := open(t, context.Background(), c, bidi, nil)
		if cs.(*clientStream).flow != nil {
			t.Error("the stream has windows")
		}
	})
}

// Close and Shutdown give a server that does not read a moment for the queued frames.
func TestClientEndAwaitsWrites(t *testing.T) {
	for name, end := range map[string]func(*Client) error{
		"Close":    (*Client).Close,
		"Shutdown": func(c *Client) error { return c.Shutdown(context.Background()) },
	} {
		bubble(t, func(t *testing.T) {
			near, far := memPipe(1)
			defer far.Close()
			c := NewClient(near)
			ctx, cancel := context.WithCancel(context.Background())
			call := goCall(t, ctx, c, text("it fills the connection"))
			synctest.Wait()
			cancel() // the request is still being written
			synctest.Wait()
			start := time.Now()
			if err := end(c); err != nil {
				t.Error(err)
			}
			if time.Since(start) == 0 {
				t.Errorf("%s does not wait", name)
			}
			time.Sleep(2 * lingerLimit)
			<-call.result
		})
	}
}
