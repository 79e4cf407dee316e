//go:build go1.25

package ttrpc

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// clogged returns a client whose server reads nothing: its pipe is full, and so
// is its write queue.
func clogged(t *testing.T) (c *Client, far *memConn, waiting []*clientCall) {
	near, far := memPipe(100)
	c = NewClient(near, WithClientLimits(Limits{MaxPendingWrite: 500}))
	t.Cleanup(func() { c.Close() })
	for i := 0; i < 3; i++ {
		waiting = append(waiting, goCall(t, context.Background(), c, text(strings.Repeat("x", 400))))
		synctest.Wait()
	}
	return c, far, waiting
}

// No caller blocks in a write: not on its own message, and not on others'.
func TestClientBlockedWrite(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, far, waiting := clogged(t)
		start := time.Now()
		ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
		defer cancel()
		calls := []*clientCall{
			goCall(t, ctx, c, text("small")),
			goCall(t, ctx, c, text(strings.Repeat("x", 1000))),
		}
		if _, err := c.NewStream(ctx, bidi, testService, "EchoStream", nil); err != context.DeadlineExceeded {
			t.Errorf("NewStream: got %v, want DeadlineExceeded", err)
		}
		for _, call := range calls {
			if err := call.err("at the deadline"); err != context.DeadlineExceeded {
				t.Errorf("Call: got %v, want DeadlineExceeded", err)
			}
		}
		wantElapsed(t, "the deadline", start, 100*time.Millisecond)

		// When the server reads again all of the others go out.
		p := &peer{t: t, conn: far}
		for i, call := range waiting {
			id := streamID(2*i + 1)
			p.wantRequest("what waited", id, 0)
			p.send(response(id, text("done")))
			call.wantValue("what waited", "done")
		}
		goCall(t, ctx, c, text("x")).err("an ended context")
		p.wantNothing("what was given up was not sent")
		c.Close()
	})
}

// Many senders may wait for room, and each may give up.
func TestClientWaitersGiveUp(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, far, waiting := clogged(t)
		ctx, cancel := context.WithCancel(context.Background())
		var givenUp, kept []*clientCall
		for i := 0; i < 20; i++ {
			kept = append(kept, goCall(t, context.Background(), c, text(fmt.Sprint(i))))
			givenUp = append(givenUp, goCall(t, ctx, c, text(strings.Repeat("y", 100*i))))
		}
		synctest.Wait()
		cancel()
		for _, call := range givenUp {
			if err := call.err("given up"); err != context.Canceled {
				t.Errorf("given up: got %v, want Canceled", err)
			}
		}
		p := &peer{t: t, conn: far}
		for i := 0; i < len(waiting)+len(kept); i++ {
			p.wantRequest("those that did not give up", streamID(2*i+1), 0)
		}
		p.wantNothing("and nothing else")
		c.Close()
		for _, call := range append(waiting, kept...) {
			if err := call.err("closed"); err != ErrClosed {
				t.Errorf("got %v, want ErrClosed", err)
			}
		}
	})
}
