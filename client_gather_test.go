//go:build go1.25

package ttrpc

import (
	"context"
	"testing"
	"testing/synctest"
)

// If several unary calls have been answered since a flusher last wrote, the next flusher
// lets other callers run first, so that their requests share its write.
func TestAnsweredCallsAreCounted(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, p := clientPeer(t)
		want := func(why string, unary, answered int) {
			t.Helper()
			synctest.Wait()
			c.conn.mu.Lock()
			defer c.conn.mu.Unlock()
			if c.unary != unary || c.answered != answered {
				t.Errorf("%s: %d unary calls run and %d are answered, want %d and %d", why, c.unary, c.answered, unary, answered)
			}
		}
		cs := open(t, context.Background(), c, bidi, nil)
		p.next("the stream's request")
		first, second := goCall(t, context.Background(), c, text("x")), goCall(t, context.Background(), c, text("x"))
		p.next("a request")
		p.next("a request")
		want("before a response", 2, 0)
		p.send(data(1, 0, text("x")))
		wantMsg(t, cs, "the stream", "x")
		want("after data of a stream", 2, 0)
		p.send(response(3, text("y")), response(5, text("y")))
		first.wantValue("the first call", "y")
		second.wantValue("the second call", "y")
		want("after the responses", 0, 2)
		third := goCall(t, context.Background(), c, text("x"))
		want("after another request", 1, 0)
		p.next("a request")
		p.send(response(7, text("z")))
		third.wantValue("the third call", "z")
		want("in the end", 0, 1)
	})
}
