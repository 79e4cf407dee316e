package ttrpc

import (
	"context"
	"io"
	"strings"
	"testing"
	"time"
)

// Streams whose client does not receive do not hold up the calls beside them.
func TestUnreadStream(t *testing.T) {
	const unread = 3
	big := strings.Repeat("x", 8<<10)
	queued := make(chan error, unread)
	desc := echoMethods()
	desc.Streams["Flood"] = Stream{StreamingServer: true, Handler: func(ctx context.Context, ss StreamServer) (any, error) {
		for i := 0; i < 80; i++ { // more than the 64 that released versions buffer
			if err := ss.SendMsg(&KeyValue{Value: big}); err != nil {
				queued <- err
				return nil, err
			}
		}
		queued <- nil
		return nil, nil
	}}
	c, _ := newTestPair(t, desc)
	var streams []ClientStream
	for i := 0; i < unread; i++ {
		cs, err := c.NewStream(testContext(t), &StreamDesc{StreamingServer: true}, testService, "Flood", &KeyValue{})
		if err != nil {
			t.Fatal(err)
		}
		streams = append(streams, cs)
	}
	for range streams {
		if err := within(t, "Flood", queued); err != nil {
			t.Fatalf("the handler: %v", err)
		}
	}
	// The time that a busy machine adds to one of several calls does not count.
	best := time.Hour
	for i := 0; i < 10; i++ {
		start := time.Now()
		if err := echo(testContext(t), c, "x"); err != nil {
			t.Fatal(err)
		}
		best = min(best, time.Since(start))
	}
	if best > 50*time.Millisecond {
		t.Errorf("a call beside unread streams takes %v", best)
	}
	if d := c.conn.pauses.total(); d != 0 {
		t.Errorf("reading was paused for %v", d)
	}
	for _, cs := range streams { // nothing is lost
		for i := 0; i < 80; i++ {
			var m KeyValue
			if err := cs.RecvMsg(&m); err != nil || m.Value != big {
				t.Fatalf("message %d: %d bytes, %v", i, len(m.Value), err)
			}
		}
		if err := cs.RecvMsg(&KeyValue{}); err != io.EOF {
			t.Errorf("the end: %v", err)
		}
	}
}
