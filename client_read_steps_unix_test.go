//go:build unix

package ttrpc

import (
	"context"
	"testing"
)

// stoppedReader returns a client whose turn the test holds: no goroutine reads. The client
// has a watch on a context, whose stop closes the channel.
func stoppedReader(t *testing.T, holder turnHolder) (*Client, *wire, <-chan struct{}) {
	t.Helper()
	ours, theirs := socketPair(t)
	c := &Client{cfg: clientConfig{conn: defaultConnConfig}, userClosed: make(chan struct{})}
	c.conn = newConn(ours, c, c.cfg.conn)
	t.Cleanup(func() { c.Close() })
	c.reader.turn = turn{holder: holder, loopRuns: true, resume: make(chan struct{}, 1)}
	stopped := make(chan struct{})
	c.reader.watched = make(chan struct{})
	c.reader.unwatch = func() bool {
		close(stopped)
		return true
	}
	return c, newWire(theirs), stopped
}

// addCall adds a call to the table. Its end takes it out again.
func addCall(t *testing.T, c *Client) *call {
	t.Helper()
	cl := newCall()
	c.conn.mu.Lock()
	defer c.conn.mu.Unlock()
	cl.id = c.conn.nextIDLocked()
	c.conn.insertLocked(cl)
	c.unary++
	t.Cleanup(func() { c.remove(cl) })
	return cl
}

// Every goroutine that gives up the turn for good, or gets it from a leader, ends the watch
// on the last leader's context.
func TestWatchOfLeaderEnds(t *testing.T) {
	for name, f := range map[string]func(c *Client, w *wire){
		"forgetWatch": func(c *Client, _ *wire) { c.forgetWatch() },
		"the next leader": func(c *Client, _ *wire) {
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			c.watch(ctx, ctx.Done())
			c.forgetWatch()
		},
		"a leader at the end of the connection": func(c *Client, w *wire) {
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			c.reader.last, c.reader.watched = ctx.Done(), ctx.Done()
			w.Close()
			c.lead(ctx, newCall())
		},
		"a leader after the end of the connection": func(c *Client, _ *wire) {
			c.Close()
			c.passTurn(newCall(), true)
		},
		"a leader with another context": func(c *Client, _ *wire) { c.passTurn(newCall(), false) },
		"a read loop that has stepped down": func(c *Client, _ *wire) {
			c.reader.turn.holder = heldByNobody
			c.endTurn()
		},
	} {
		t.Run(name, func(t *testing.T) {
			c, w, stopped := stoppedReader(t, heldByLeader)
			f(c, w)
			within(t, "the end of the watch", stopped)
			if c.reader.unwatch != nil {
				t.Error("the watch is kept")
			}
		})
	}
}

// The read loop ends the watch when it gets the turn back, and when the connection ends.
func TestReadLoopEndsWatch(t *testing.T) {
	for name, f := range map[string]func(c *Client, w *wire){
		"turn": func(c *Client, w *wire) {
			c.reader.woke = true // it steps down after the frame, and the timer gives the turn back
			w.write(header{id: 2, typ: 0xff}, nil)
		},
		"end": func(_ *Client, w *wire) { w.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			c, w, stopped := stoppedReader(t, heldByLoop)
			f(c, w)
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				c.readLoop()
			}()
			within(t, "the end of the watch", stopped)
			c.Close()
			within(t, "the read loop", ended)
		})
	}
}

// A leader whose context is not that of the leader before leaves no watch.
func TestLeaderOfAnotherContext(t *testing.T) {
	c, _, stopped := stoppedReader(t, heldByLeader)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	cl := newCall()
	cl.result <- callResult{} // it need not read
	c.lead(ctx, cl)
	within(t, "the end of the earlier watch", stopped)
	if c.reader.unwatch != nil || c.reader.last != ctx.Done() {
		t.Error("the watch on the first call of a context is kept")
	}
}

// A leader that ends the connection's reading releases the bytes that it has read.
func TestLeaderEndsReading(t *testing.T) {
	c, _, _ := stoppedReader(t, heldByLeader)
	c.conn.ch.chunk = getBuffer(1)
	c.Close()
	c.passTurn(newCall(), false)
	if c.conn.ch.chunk != nil {
		t.Error("bytes that a leader has read are left after the end")
	}
}

// A leader that must not leave reading to the next receiver gives the turn to the read loop,
// and parks if its call still waits.
func TestLeaderGivesTurnBack(t *testing.T) {
	for name, test := range map[string]struct {
		inTable, result bool
		parks           bool
	}{
		"a call that waits":           {inTable: true, parks: true},
		"a call with a result":        {inTable: true, result: true},
		"a call that is over":         {result: true},
		"a call that its caller left": {},
	} {
		t.Run(name, func(t *testing.T) {
			c, _, _ := stoppedReader(t, heldByLeader)
			cl := newCall()
			if test.inTable {
				cl = addCall(t, c)
			}
			if test.result {
				cl.result <- callResult{}
			}
			c.conn.reader.repliesFull = true // only the read loop may wait
			c.passTurn(cl, false)
			if got := c.reader.turn.holder; got != heldByLoop || len(c.reader.turn.resume) != 1 {
				t.Errorf("the turn has the holder %v, want the read loop", got)
			}
			if cl.parked != test.parks {
				t.Errorf("parked: got %v, want %v", cl.parked, test.parks)
			}
		})
	}
}

// A receiver parks only if it is in the table and has nothing to receive.
func TestReceiverParks(t *testing.T) {
	c, _, _ := stoppedReader(t, heldByLoop)
	waiting, served, gone := addCall(t, c), addCall(t, c), newCall()
	served.result <- callResult{}
	for cl, parks := range map[*call]bool{waiting: true, served: false, gone: false} {
		c.receiverWaits(context.Background(), cl)
		if cl.parked != parks {
			t.Errorf("call %d: parked: got %v, want %v", cl.id, cl.parked, parks)
		}
	}
}

// The read loop steps down for a receiver that it has woken, once, and not while others
// wait.
func TestReadLoopStepsDown(t *testing.T) {
	c, _, _ := stoppedReader(t, heldByLoop)
	c.reader.woke = true
	parked := new(slot)
	c.reader.turn.park(parked)
	if c.stepDown() {
		t.Error("the read loop steps down while a receiver is parked")
	}
	c.reader.turn.unpark(parked)
	if c.stepDown() {
		t.Error("the read loop steps down for a receiver that it woke before")
	}
	c.reader.woke = true
	if !c.stepDown() || c.reader.turn.holder != heldByNobody {
		t.Error("the read loop does not step down")
	}
}
