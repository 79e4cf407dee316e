//go:build !plan9

package ttrpc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"syscall"
	"testing"
)

// Frames go out in the pieces in which released versions write them.
func TestMuxWrites(t *testing.T) {
	near, far := muxPair(t, 1)
	s := newServer(t, echoMethods())
	serveMuxConn(t, s, far.conn(1))
	c := NewClient(near.conn(1), WithClientExtensions(false)) // whose acknowledgement is a write of its own
	defer c.Close()

	envelope := &requestEnvelope{service: testService, method: "Echo"}
	for _, frame := range []int{200, 4095, 4096, 4097, 8192, 300000} {
		// Find the body with which the frame is so long.
		n := frame
		var req *KeyValue
		for length := 0; length != frame; n -= length - frame {
			req = text(strings.Repeat("x", n))
			p, err := noOptions.newPayload(req)
			if err != nil {
				t.Fatal(err)
			}
			envelope.payload = p
			length = headerLength + envelope.size()
		}
		got := near.conn(1).recordWrites(func() {
			var resp KeyValue
			// Without a deadline, which would make the request longer.
			if err := c.Call(context.Background(), testService, "Echo", req, &resp); err != nil {
				t.Fatalf("frame of %d bytes: %v", frame, err)
			}
		})
		want := []int{frame}
		if frame > 4096 {
			want = []int{4096, frame - 4096}
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("frame of %d bytes: written in %v, want %v", frame, got, want)
		}
	}
}

// Frames that wait share writes of up to 4096 bytes, which every release reads at once;
// a longer one has its writes for itself.
func TestGatheredWrites(t *testing.T) {
	near, far := memPipe(0)
	defer far.Close()
	lengths, proceed := make(chan int, 100), make(chan struct{})
	ch := newChannel(&countedConn{Conn: near, lengths: lengths, proceed: proceed}, 1<<20, 1<<20, func(error) {})
	defer ch.close()
	queue := func(lengths ...int) {
		for _, n := range lengths {
			if err := ch.w.room.take(context.Background(), nil, n); err != nil {
				t.Fatal(err)
			}
			buf := getBuffer(n)
			buf.b = buf.b[:n]
			ch.w.enqueue(buf)
		}
		ch.w.flush()
	}
	queue(100)
	if n := within(t, "a write", lengths); n != 100 {
		t.Fatalf("a write of %d bytes, want 100", n)
	}
	queue(100, 1000, 2996, 1, 5000, 1, 4095, 4096, 10)
	close(proceed)
	for _, want := range []int{4096, 1, 4096, 904, 4096, 4096, 10} {
		if n := within(t, "a write", lengths); n != want {
			t.Errorf("a write of %d bytes, want %d", n, want)
		}
	}
}

// Any end of the multiplexer ends its connections, at both ends: no call
// waits for a connection that is dead.
func TestMuxEnds(t *testing.T) {
	for _, c := range []struct {
		name  string
		cause func(near, far *testMux)
		err   error // of the far end
	}{
		{"a message that is longer than what is read", func(near, far *testMux) {
			near.conn(1).Write(make([]byte, 1<<16))
		}, syscall.ENOMEM},
		{"too many messages that nobody reads", func(near, far *testMux) {
			for i := 0; i <= muxQueue; i++ {
				near.conn(3).Write([]byte("unread"))
			}
		}, errMuxFull},
		{"the trunk is closed", func(near, far *testMux) { near.Close() }, io.EOF},
	} {
		c := c
		t.Run(c.name, func(t *testing.T) {
			near, far := muxPair(t, 1, 2, 3)
			ended := make(chan error, 2)
			var calls []chan error
			var clients []*Client
			for id, ends := range map[uint32][2]*testMux{1: {near, far}, 2: {far, near}} {
				s := newServer(t, nil, WithServerLogger(discardLogger{}))
				started := make(chan struct{})
				desc := echoMethods()
				desc.Methods["Wait"] = func(ctx context.Context, unmarshal func(any) error) (any, error) {
					close(started)
					<-ctx.Done()
					ended <- ctx.Err()
					return nil, ctx.Err()
				}
				s.RegisterService(testService, desc)
				serveMuxConn(t, s, ends[1].conn(id))
				client := NewClient(ends[0].conn(id))
				clients = append(clients, client)
				result := make(chan error, 1)
				calls = append(calls, result)
				ctx := testContext(t)
				// The first call negotiates extensions. Its frames are all read before
				// the handler of the next one starts: later nothing is on the trunk.
				if err := echo(ctx, client, "x"); err != nil {
					t.Fatal(err)
				}
				go func() { result <- client.Call(ctx, testService, "Wait", &KeyValue{}, &KeyValue{}) }()
				<-started
			}
			c.cause(near, far)
			for i, client := range clients {
				if err := <-calls[i]; err != ErrClosed {
					t.Errorf("client %d: the call got %v, want ErrClosed", i, err)
				}
				if err := client.UserOnCloseWait(testContext(t)); err != nil {
					t.Errorf("client %d does not end: %v", i, err)
				}
				if err := <-ended; err != context.Canceled {
					t.Errorf("a handler's context: got %v, want Canceled", err)
				}
			}
			if err := far.failure(); !errors.Is(err, c.err) {
				t.Errorf("the far end failed with %v, want %v", err, c.err)
			}
		})
	}
}

// A server reads on while a handler runs, also one that is known to be quick: the
// multiplexer fails once it has more messages than its queue holds.
func TestMuxIsReadDuringHandlers(t *testing.T) {
	near, far := muxPair(t, 1)
	s := newServer(t, nil)
	started, proceed := make(chan struct{}), make(chan struct{})
	desc := echoMethods()
	desc.Methods["Wait"] = func(context.Context, func(any) error) (any, error) {
		close(started)
		<-proceed
		return &KeyValue{}, nil
	}
	s.RegisterService(testService, desc)
	// It would have another goroutine read on before long, as on sockets, but not
	// before a peer can have filled the queue.
	s.watchdog.end()
	serveMuxConn(t, s, far.conn(1))
	c := NewClient(near.conn(1))
	defer c.Close()
	ctx := testContext(t)
	if err := echo(ctx, c, "the first call, which no read loop runs"); err != nil {
		t.Fatal(err)
	}
	makeQuick(t, s, "Wait")
	waiting := goErr(func() error { return c.Call(ctx, testService, "Wait", &KeyValue{}, &KeyValue{}) })
	within(t, "handler", started)
	for i := 0; i < 2*muxQueue; i++ { // more than the queue holds
		if err := echo(ctx, c, "x"); err != nil {
			t.Errorf("call %d beside the one that waits: %v", i, err)
			break
		}
	}
	close(proceed)
	if err := within(t, "call", waiting); err != nil {
		t.Errorf("the call that waits: %v", err)
	}
	if err := far.failure(); err != nil {
		t.Errorf("the multiplexer: %v", err)
	}
}
