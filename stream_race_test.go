package ttrpc

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// SendMsg against CloseSend and the other methods of a stream: each message goes
// out before the end of sending, or is refused (9 of those open upstream).
func TestRaceSendAgainstCloseSend(t *testing.T) {
	c, w := listenWire(t).connect(t)
	defer c.Close()
	for round := rounds(200); round > 0; round-- {
		cs, err := c.NewStream(context.Background(), &StreamDesc{StreamingClient: true, StreamingServer: true}, testService, "S", nil)
		if err != nil {
			t.Fatal(err)
		}
		h, _ := w.readRequest()
		var sent atomic.Int64
		send := func(int) {
			for i := 0; i < 5; i++ {
				switch err := cs.SendMsg(&KeyValue{Value: "x"}); err {
				case nil:
					sent.Add(1)
				case ErrStreamClosed:
				default:
					t.Errorf("SendMsg: %v", err)
				}
			}
		}
		together(append(times(3, send),
			func() {
				if err := cs.CloseSend(); err != nil {
					t.Errorf("CloseSend: %v", err)
				}
			},
			func() {
				if err := cs.RecvMsg(&KeyValue{}); err != nil {
					t.Errorf("RecvMsg: %v", err)
				}
			},
			func() { w.data(h.id, 0, &KeyValue{Value: "x"}) },
		)...)
		received := int64(0)
		for {
			f := w.read()
			if f.id != h.id || f.typ != messageTypeData {
				t.Fatalf("got %v on stream %d", f.header, h.id)
			}
			if f.flags.has(flagRemoteClosed) {
				break
			}
			received++
		}
		if received != sent.Load() {
			t.Fatalf("%d messages were sent, %d came before the end", sent.Load(), received)
		}
		w.respond(h.id, &Response{}) // a frame after the end would be the next that is read
		for err == nil {
			err = cs.RecvMsg(&KeyValue{})
		}
	}
}

// Goroutines of a handler that send while it returns: nothing is sent on a stream
// after its last frame.
func TestRaceSendAgainstReturn(t *testing.T) {
	var senders sync.WaitGroup
	defer senders.Wait()
	_, addr := newTestServer(t, &ServiceDesc{Streams: map[string]Stream{"S": {StreamingClient: true, StreamingServer: true,
		Handler: func(_ context.Context, ss StreamServer) (any, error) {
			for i := 0; i < 3; i++ {
				senders.Add(1)
				go func() {
					defer senders.Done()
					for i := 0; i < 100; i++ {
						if err := ss.SendMsg(&KeyValue{Value: "x"}); err != nil {
							return
						}
					}
				}()
			}
			return nil, ss.SendMsg(&KeyValue{Value: "x"})
		}}}})
	w := dialWire(t, addr)
	id := streamID(1)
	for round := rounds(200); round > 0; round-- {
		w.request(id, "S", flagRemoteOpen|flagNoData, nil)
		for {
			f := w.read()
			if f.id != id {
				t.Fatalf("%v after the last frame of that stream", f.header)
			}
			if f.typ == messageTypeResponse || f.flags.has(flagRemoteClosed) {
				break
			}
		}
		id += 2
	}
	w.Close()
}

// A stream that ends with an error just when its context does: it says one or the
// other, and never that all is well.
func TestRaceCancelAgainstEnd(t *testing.T) {
	c, w := listenWire(t).connect(t)
	defer c.Close()
	for round := rounds(500); round > 0; round-- {
		ctx, cancel := context.WithCancel(context.Background())
		cs, err := c.NewStream(ctx, &StreamDesc{StreamingServer: true}, testService, "S", &KeyValue{})
		if err != nil {
			t.Fatal(err)
		}
		h, _ := w.readRequest()
		together(cancel, func() {
			w.data(h.id, 0, &KeyValue{Value: "x"})
			w.respond(h.id, &Response{Status: newStatus(codes.DataLoss, "x")})
		}, func() {
			var err error
			for err == nil {
				err = cs.RecvMsg(&KeyValue{})
			}
			if !errors.Is(err, context.Canceled) && status.Code(err) != codes.DataLoss {
				t.Errorf("the stream ended with %v", err)
			}
		})
	}
	waitFor(t, "an empty table", func() bool { return tableSize(c.conn) == 0 })
}
