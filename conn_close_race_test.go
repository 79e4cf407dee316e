package ttrpc

import (
	"context"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// Close, of either side, while responses and messages flood in (13).
func TestRaceCloseDuringFlood(t *testing.T) {
	for round := rounds(60); round > 0; round-- {
		s := newServer(t, echoMethods())
		l := listen(t)
		served := goErr(func() error { return s.Serve(context.Background(), l) })
		nc, err := dialLocal(l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		c := NewClient(nc)
		ends := []func(){func() { c.Close() }, func() { s.Close() }, func() { nc.Close() }}
		var flowed atomic.Int64
		flowing := make(chan struct{}) // closed when enough has flowed
		flow := func() {
			if flowed.Add(1) == 50 {
				close(flowing)
			}
		}
		funcs := times(8, func(i int) {
			for {
				if err := echo(context.Background(), c, "x"); err == ErrClosed {
					return
				} else if err != nil {
					t.Errorf("Call: got %v, want ErrClosed", err)
					return
				}
				flow()
			}
		})
		funcs = append(funcs, times(4, func(i int) {
			cs, err := c.NewStream(context.Background(), &StreamDesc{StreamingServer: true}, testService, "Repeat",
				&KeyValue{Value: strings.Repeat("x", 2000)})
			for ; err == nil; flow() {
				err = cs.RecvMsg(&KeyValue{})
			}
			if err != ErrClosed && err != io.EOF {
				t.Errorf("RecvMsg: got %v, want ErrClosed", err)
			}
		})...)
		funcs = append(funcs, times(2, func(i int) {
			cs, err := c.NewStream(context.Background(), &StreamDesc{StreamingClient: true, StreamingServer: true}, testService, "EchoStream", nil)
			for err == nil {
				err = cs.SendMsg(&KeyValue{Value: "x"})
				if err == nil {
					err = cs.RecvMsg(&KeyValue{})
				}
			}
			if err != ErrClosed {
				t.Errorf("stream: got %v, want ErrClosed", err)
			}
		})...)
		funcs = append(funcs, func() {
			select {
			case <-flowing:
			case <-time.After(testTimeout):
				t.Error("no flood")
			}
			ends[round%len(ends)]()
		})
		together(funcs...)
		c.Close()
		s.Close()
		if err := within(t, "Serve", served); err != ErrServerClosed {
			t.Errorf("Serve: %v", err)
		}
	}
}

// After Close every call and stream says ErrClosed, never that a context was
// canceled (15).
func TestRaceCloseIsErrClosed(t *testing.T) {
	l := listenWire(t)
	for round := rounds(200); round > 0; round-- {
		c, w := l.connect(t)
		ctx, cancel := context.WithCancel(context.Background())
		server, err := c.NewStream(ctx, &StreamDesc{StreamingServer: true}, testService, "Repeat", &KeyValue{})
		if err != nil {
			t.Fatal(err)
		}
		client, err := c.NewStream(ctx, &StreamDesc{StreamingClient: true}, testService, "Join", nil)
		if err != nil {
			t.Fatal(err)
		}
		want := func(what string, err error) {
			if err != ErrClosed {
				t.Errorf("%s: got %v, want ErrClosed", what, err)
			}
		}
		together(
			func() { want("Call", echo(ctx, c, "x")) },
			func() { want("Call without a context", echo(context.Background(), c, "x")) },
			func() { want("RecvMsg", server.RecvMsg(&KeyValue{})) },
			func() {
				var err error
				for err == nil {
					err = client.SendMsg(&KeyValue{Value: "x"})
				}
				want("SendMsg", err)
			},
			func() { io.Copy(io.Discard, w) },
			func() { c.Close() },
		)
		want("CloseSend afterwards", client.CloseSend())
		want("RecvMsg afterwards", client.RecvMsg(&KeyValue{}))
		_, err = c.NewStream(ctx, &StreamDesc{StreamingServer: true}, testService, "Repeat", &KeyValue{})
		want("NewStream afterwards", err)
		cancel()
		w.Close()
	}
}
