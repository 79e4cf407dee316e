package ttrpc

import (
	"context"
	"net"
	"strings"
	"testing"
	"time"
)

// In these tests the peer hangs. Any number of callers can be ended by their contexts and by
// Close as usual, and nothing is left behind.

const (
	hungCallers = 1002 // which three share

	// hungDeadline is the deadline of those that have one: by then all of them
	// wait.
	hungDeadline = 300 * time.Millisecond

	// hungBound is for steps of some milliseconds.
	hungBound = 5 * time.Second
)

// hungMessage is the message of all callers: together they are far more than a socket
// holds.
var hungMessage = &KeyValue{Value: strings.Repeat("x", 16<<10)}

// withHungPeer runs f over each kind of connection, and checks that f leaves no goroutine
// and no buffer.
func withHungPeer(t *testing.T, f func(t *testing.T, ours, theirs net.Conn)) {
	for name, pair := range map[string]func(testing.TB) (net.Conn, net.Conn){
		"unix": func(t testing.TB) (net.Conn, net.Conn) { return socketPair(t) },
		"pipe": func(testing.TB) (net.Conn, net.Conn) { return net.Pipe() },
	} {
		pair := pair
		t.Run(name, func(t *testing.T) {
			if leaked := leakedGoroutines(testTimeout); leaked != "" {
				t.Fatalf("goroutines of an earlier test:\n%s", leaked)
			}
			keepLedger(t, func() {
				ours, theirs := pair(t)
				f(t, ours, theirs)
				theirs.Close()
				if leaked := leakedGoroutines(testTimeout); leaked != "" {
					t.Errorf("goroutines are left:\n%s", leaked)
				}
			})
		})
	}
}

// waitingCalls returns the number of calls and streams that wait on a client's connection:
// those in the table, and those that still wait for room.
func waitingCalls(c *conn) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, waiting := c.ch.w.room.load()
	return len(c.streams) + waiting
}

// wantSoon checks that n calls return want, and that the last one returns in time.
func wantSoon(t *testing.T, what string, n int, results <-chan error, want error) {
	t.Helper()
	start := time.Now()
	for i := 0; i < n; i++ {
		if err := within(t, what, results); err != want {
			t.Fatalf("%s: got %v, want %v, bare", what, err, want)
		}
	}
	if d := time.Since(start); d > hungBound {
		t.Errorf("%s: it took %v", what, d)
	}
}

// The peer reads nothing, and writes until a write blocks. It blocks because the connection
// waits for the receiver of a stream that nobody reads: both directions are full.
func TestThousandCallersOnHungPeer(t *testing.T) {
	withHungPeer(t, func(t *testing.T, ours, theirs net.Conn) {
		c := NewClient(ours, WithClientLimits(Limits{MaxStreamBuffer: 64 << 10}))
		unread, err := c.NewStream(context.Background(), &StreamDesc{StreamingServer: true}, testService, "S", &KeyValue{})
		if err != nil {
			t.Fatal(err)
		}
		const third = hungCallers / 3
		byDeadline, stop := context.WithTimeout(context.Background(), hungDeadline)
		defer stop()
		byCancel, cancel := context.WithCancel(context.Background())
		defer cancel()
		contexts := []context.Context{byDeadline, byCancel, context.Background()}
		results := make([]chan error, len(contexts))
		for i, ctx := range contexts {
			ctx, result := ctx, make(chan error, third)
			results[i] = result
			for n := 0; n < third; n++ { // the first of all begins to write
				go func() { result <- c.Call(ctx, testService, "Echo", hungMessage, &KeyValue{}) }()
			}
		}
		waitFor(t, "the callers", func() bool { return waitingCalls(c.conn) >= 1+2*third })
		w := newWire(theirs)
		flood := goErr(func() error {
			body := mustMarshal(hungMessage)
			for unused := streamID(1<<20 + 1); ; unused += 2 {
				if err := w.tryWrite(header{id: unused, typ: messageTypeResponse}, body); err != nil {
					return err
				}
				if err := w.tryWrite(header{id: 1, typ: messageTypeData}, body); err != nil {
					return err
				}
			}
		})
		waitFor(t, "a pause in reading", func() bool { return c.conn.pauses.since.Load() != 0 })

		<-byDeadline.Done()
		wantSoon(t, "deadline", third, results[0], context.DeadlineExceeded)
		cancel()
		wantSoon(t, "cancel", third, results[1], context.Canceled)
		// The unread stream may have failed by now.
		waitFor(t, "the others to be what is left", func() bool {
			n := waitingCalls(c.conn) - third
			return n == 0 || n == 1
		})
		if n := len(results[2]); n != 0 {
			t.Errorf("%d calls without a context that ends have returned", n)
		}
		closed := goErr(c.Close)
		wantSoon(t, "Close", third, results[2], ErrClosed)
		wantSoon(t, "Close itself", 1, closed, nil)
		if err := c.UserOnCloseWait(testContext(t)); err != nil {
			t.Error(err)
		}
		if n := waitingCalls(c.conn); n != 0 {
			t.Errorf("%d calls are left", n)
		}
		if err := within(t, "the end of the flood", flood); err == nil {
			t.Error("the peer can still write")
		}
		for err == nil { // messages that have come are still there
			err = unread.RecvMsg(&KeyValue{})
		}
	})
}

// The hung peer closes its connection in the middle of a frame.
func TestThousandCallersOnBrokenFrame(t *testing.T) {
	withHungPeer(t, func(t *testing.T, ours, theirs net.Conn) {
		c := NewClient(ours)
		results := make(chan error, hungCallers)
		for i := 0; i < hungCallers; i++ {
			go func() { results <- c.Call(context.Background(), testService, "Echo", hungMessage, &KeyValue{}) }()
		}
		waitFor(t, "the callers", func() bool { return waitingCalls(c.conn) == hungCallers })
		newWire(theirs).write(header{id: 1, typ: messageTypeResponse, length: 10000}, make([]byte, 5000))
		theirs.Close()
		wantSoon(t, "calls", hungCallers, results, ErrClosed)
		if err := c.UserOnCloseWait(testContext(t)); err != nil {
			t.Error(err)
		}
		if n := waitingCalls(c.conn); n != 0 {
			t.Errorf("%d calls are left", n)
		}
	})
}

// A client sends a thousand requests and reads no response. The server reads all of them,
// and the end of the connection, by either side, ends their calls.
func TestThousandCallsOfHungPeer(t *testing.T) {
	for name, end := range map[string]func(*Server, net.Conn){
		"client closes": func(_ *Server, theirs net.Conn) { theirs.Close() },
		"server closes": func(s *Server, _ net.Conn) { s.Close() },
	} {
		end := end
		t.Run(name, func(t *testing.T) {
			withHungPeer(t, func(t *testing.T, ours, theirs net.Conn) {
				s := newServer(t, echoMethods(), WithServerLogger(newLogRecorder()))
				l := newScriptedListener()
				l.accepts <- ours
				served := goErr(func() error { return s.Serve(context.Background(), l) })
				w := newWire(theirs)
				message := &KeyValue{Value: strings.Repeat("x", 4<<10)} // 4 MB of responses in all
				request := mustMarshal(&Request{Service: testService, Method: "Echo", Payload: mustMarshal(message)})
				start := time.Now()
				for id := streamID(1); id < 2*hungCallers; id += 2 {
					if err := w.tryWrite(header{id: id, typ: messageTypeRequest}, request); err != nil {
						t.Fatalf("request %d: %v", id, err)
					}
				}
				if d := time.Since(start); d > hungBound {
					t.Errorf("the requests took %v", d)
				}
				end(s, theirs)
				serverIdle(t, s)
				if err := within(t, "Serve", served); err != ErrServerClosed {
					t.Errorf("Serve: got %v, want ErrServerClosed", err)
				}
			})
		})
	}
}
