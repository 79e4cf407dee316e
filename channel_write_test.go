package ttrpc

import (
	"context"
	"net"
	"strings"
	"testing"
	"time"
)

// A call's context ends its waiting while the peer does not read and the socket is
// full; so do those of all callers behind it, and of streams.
func TestContextEndsSending(t *testing.T) {
	for name, pair := range map[string]func() (net.Conn, net.Conn){
		"unix": func() (net.Conn, net.Conn) { return socketPair(t) },
		"pipe": net.Pipe,
	} {
		ours, theirs := pair()
		defer theirs.Close()
		c := NewClient(ours, WithClientLimits(Limits{MaxPendingWrite: 64 << 10}))
		big := &KeyValue{Value: strings.Repeat("x", 256<<10)}
		streamCtx, cancelStream := context.WithCancel(context.Background())
		cs, err := c.NewStream(streamCtx, &StreamDesc{StreamingClient: true}, testService, "Join", nil)
		if err != nil {
			t.Fatal(err)
		}
		const callers = 20
		ctx, cancel := context.WithCancel(context.Background())
		results := make(chan error, 2*callers)
		for i := 0; i < callers; i++ {
			go func() { results <- c.Call(ctx, testService, "Echo", big, &KeyValue{}) }()
			go func() { results <- cs.SendMsg(big) }()
		}
		// Two of them are let in, for one is always let in beside those that fit.
		waitFor(t, name+": a full queue", func() bool {
			_, waiting := c.conn.ch.w.room.load()
			return waiting >= 2*callers-4
		})
		deadline, stop := context.WithTimeout(context.Background(), 20*time.Millisecond)
		start := time.Now()
		if err := c.Call(deadline, testService, "Echo", &KeyValue{}, &KeyValue{}); err != context.DeadlineExceeded {
			t.Errorf("%s: a call with a deadline: got %v", name, err)
		}
		if d := time.Since(start); d > testTimeout/2 {
			t.Errorf("%s: a call with a deadline of 20 ms took %v", name, d)
		}
		stop()
		cancel()
		cancelStream()
		for i := 0; i < 2*callers; i++ {
			if err := within(t, name, results); err != nil && err != context.Canceled {
				t.Errorf("%s: got %v, want context.Canceled", name, err)
			}
		}
		// The stream leaves on the goroutine that watches its context.
		waitFor(t, name+": an empty table", func() bool { return tableSize(c.conn) == 0 })
		c.Close()
	}
}
