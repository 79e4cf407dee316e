package ttrpc

import (
	"context"
	"io"
	"math/rand"
	"strings"
	"testing"
)

// Streams that exchange messages at random, with headers and trailers, lose no message, and
// nothing waits forever, with any limits on either side. With limits smaller than a message
// the windows, the inboxes and the queues are always full. A window frame behind a message
// without room was once lost so.
func TestRaceExchangeWithSmallLimits(t *testing.T) {
	for i := 0; i < rounds(30) && !t.Failed(); i++ {
		small := func() Limits {
			return Limits{MaxStreamBuffer: 1 + rand.Intn(2000), MaxPendingWrite: 1 + rand.Intn(500)}
		}
		ours, theirs := small(), small()
		_, addr := newTestServer(t, exchangeMethods(), WithServerLimits(theirs))
		c := dialTest(t, addr, WithClientLimits(ours))
		together(times(4, func(int) { swap(t, c) })...)
		if t.Failed() {
			t.Logf("with the limits %+v of the client, %+v of the server", ours, theirs)
		}
		waitFor(t, "the room to be given back", func() bool {
			room := &c.conn.ch.w.room
			room.mu.Lock()
			defer room.mu.Unlock()
			return room.reserved == 0
		})
		c.Close()
	}
}

var twoWays = &StreamDesc{StreamingClient: true, StreamingServer: true}

// swap sends messages on a stream from two goroutines, and expects as many back.
func swap(t *testing.T, c *Client) {
	const senders, messages = 2, 40
	cs, err := c.NewStream(testContext(t), twoWays, testService, "Exchange", nil)
	if err != nil {
		t.Error(err)
		return
	}
	sent := goErr(func() error {
		together(times(senders, func(int) {
			for i := 0; i < messages; i++ {
				if err := cs.SendMsg(text(strings.Repeat("x", rand.Intn(300)))); err != nil {
					t.Errorf("SendMsg: %v", err)
				}
			}
		})...)
		return cs.CloseSend()
	})
	for i := 0; ; i++ {
		err := cs.RecvMsg(new(KeyValue))
		if err == nil {
			continue
		}
		if err != io.EOF || i != senders*messages {
			t.Errorf("after %d messages of %d: %v", i, senders*messages, err)
		}
		break
	}
	if err := within(t, "CloseSend", sent); err != nil {
		t.Errorf("CloseSend: %v", err)
	}
}

// exchangeMethods has a stream that returns its messages, with two goroutines.
func exchangeMethods() *ServiceDesc {
	return &ServiceDesc{Streams: map[string]Stream{"Exchange": {
		StreamingClient: true,
		StreamingServer: true,
		Handler: func(ctx context.Context, stream StreamServer) (any, error) {
			if err := SetHeader(ctx, MD{"h": {strings.Repeat("h", rand.Intn(900))}}); err != nil {
				return nil, err
			}
			if err := SetTrailer(ctx, MD{"t": {strings.Repeat("t", rand.Intn(900))}}); err != nil {
				return nil, err
			}
			errs := make([]error, 2)
			together(times(len(errs), func(i int) { errs[i] = returnMessages(stream) })...)
			for _, err := range errs {
				if err != nil {
					return nil, err
				}
			}
			return nil, nil
		},
	}}}
}

func returnMessages(stream StreamServer) error {
	for {
		var m KeyValue
		if err := stream.RecvMsg(&m); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		if err := stream.SendMsg(&m); err != nil {
			return err
		}
	}
}
