//go:build go1.25

package ttrpc

import (
	"context"
	"fmt"
	"io"
	"sort"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// In these tests receivers are late, and both sides have this library.

// flowPair returns a server with the methods of a serverTest, whose streams the test
// controls, and of echoMethods, and a client.
func flowPair(t *testing.T, clientOn bool) (*serverTest, *Client) {
	t.Helper()
	st := newServerTest(t)
	near, far := memPipe(64 << 10)
	st.l.hand(far)
	c := NewClient(near, WithClientExtensions(clientOn))
	t.Cleanup(func() { c.Close() })
	if err := echo(context.Background(), c, "x"); err != nil {
		t.Fatal(err)
	}
	return st, c
}

const (
	lateMessages = 500
	lateLength   = 64 << 10
	lateFor      = 4 * time.Second
)

// receiveLate receives lateMessages, with a pause.
func receiveLate(s interface{ RecvMsg(any) error }) error {
	for i := 0; i < lateMessages; i++ {
		if i == 2 {
			time.Sleep(lateFor)
		}
		var m KeyValue
		if err := s.RecvMsg(&m); err != nil {
			return fmt.Errorf("message %d: %w", i, err)
		}
		if m.Key != fmt.Sprint(i) || len(m.Value) != lateLength {
			return fmt.Errorf("message %d: received %q with %d bytes", i, m.Key, len(m.Value))
		}
	}
	if err := s.RecvMsg(&KeyValue{}); err != io.EOF {
		return fmt.Errorf("the end: %w", err)
	}
	return nil
}

func sendLate(s interface{ SendMsg(any) error }) error {
	for i := 0; i < lateMessages; i++ {
		if err := s.SendMsg(&KeyValue{Key: fmt.Sprint(i), Value: strings.Repeat("x", lateLength)}); err != nil {
			return fmt.Errorf("message %d: %w", i, err)
		}
	}
	return nil
}

// A receiver that stops for seconds gets every message, in either direction, and calls
// beside it are not delayed.
func TestLateReceiverGetsAll(t *testing.T) {
	bubble(t, func(t *testing.T) {
		st, c := flowPair(t, true)
		up := open(t, context.Background(), c, bidi, nil)
		down, err := c.NewStream(context.Background(), fromServer, testService, "HoldServer", text("x"))
		if err != nil {
			t.Fatal(err)
		}
		downCall := st.call()
		upload, err := c.NewStream(context.Background(), &StreamDesc{StreamingClient: true}, testService, "HoldClient", nil)
		if err != nil {
			t.Fatal(err)
		}
		upCall := st.call()

		received := make(chan error, 2)
		go func() { received <- receiveLate(down) }()
		go func() { received <- receiveLate(upCall.ss) }()
		go func() {
			downCall.returns(nil, sendLate(downCall.ss))
		}()
		sent := goErr(func() error {
			if err := sendLate(upload); err != nil {
				return err
			}
			return upload.CloseSend()
		})
		start := time.Now()
		for i := 0; i < 10; i++ {
			if err := echo(context.Background(), c, "beside"); err != nil {
				t.Fatal(err)
			}
			if err := up.SendMsg(text("beside")); err != nil {
				t.Fatal(err)
			}
			if err := up.RecvMsg(&KeyValue{}); err != nil {
				t.Fatal(err)
			}
		}
		wantElapsed(t, "beside receivers that are late", start, 0)
		for i := 0; i < 2; i++ {
			if err := <-received; err != nil {
				t.Error(err)
			}
		}
		if err := <-sent; err != nil {
			t.Error(err)
		}
		wantElapsed(t, "all", start, lateFor)
		upCall.returns(text("done"), nil)
		if err := upload.RecvMsg(&KeyValue{}); err != nil {
			t.Error(err)
		}
		if err := up.CloseSend(); err != nil {
			t.Error(err)
		}
		wantEnd(t, up, "the end", io.EOF)
	})
}

// Without extensions such a stream fails after a second, as in releases.
func TestLateReceiverWithoutWindows(t *testing.T) {
	bubble(t, func(t *testing.T) {
		st, c := flowPair(t, false)
		down, err := c.NewStream(context.Background(), fromServer, testService, "HoldServer", text("x"))
		if err != nil {
			t.Fatal(err)
		}
		call := st.call()
		go func() { call.returns(nil, sendLate(call.ss)) }()
		received := goErr(func() error { return receiveLate(down) })
		time.Sleep(lateFor + time.Second)
		synctest.Wait()
		if err := <-received; err == nil || !strings.Contains(err.Error(), errNotReceived.Error()) {
			t.Errorf("got %v, want %v", err, errNotReceived)
		}
	})
}

// Streams that nobody reads hold up no call. The figures are those of one process on a busy
// machine: "go run . -cases unread" in bench has better ones.
func TestCallsBesideUnreadStreams(t *testing.T) {
	alone := besideUnread(t, false)
	beside := besideUnread(t, true)
	t.Logf("the 99th percentile is %v alone, %v beside unread streams", alone, beside)
	if most := 2*alone + 5*time.Millisecond; beside > most && !raceEnabled {
		t.Errorf("beside unread streams a call takes up to %v, at most %v", beside, most)
	}
}

// besideUnread returns the 99th percentile of the times of 1,000 calls. If unread is true,
// three streams whose messages the client does not receive, and three whose messages the
// handlers do not receive, are open meanwhile.
func besideUnread(t *testing.T, unread bool) time.Duration {
	desc := echoMethods()
	desc.Streams["Flood"] = Stream{StreamingServer: true, Handler: func(_ context.Context, ss StreamServer) (any, error) {
		for {
			if err := ss.SendMsg(text(filled)); err != nil {
				return nil, err
			}
		}
	}}
	desc.Streams["Deaf"] = Stream{StreamingClient: true, Handler: func(ctx context.Context, _ StreamServer) (any, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}}
	c, _ := newTestPair(t, desc)
	if err := echo(testContext(t), c, "x"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(testContext(t))
	var senders []<-chan error
	for i := 0; i < 3 && unread; i++ {
		flood, err := c.NewStream(ctx, fromServer, testService, "Flood", text("x"))
		if err != nil {
			t.Fatal(err)
		}
		deaf, err := c.NewStream(ctx, &StreamDesc{StreamingClient: true}, testService, "Deaf", nil)
		if err != nil {
			t.Fatal(err)
		}
		senders = append(senders, goErr(func() error {
			defer receiveAll(flood)
			for {
				if err := deaf.SendMsg(text(filled)); err != nil {
					return err
				}
			}
		}))
	}
	if unread {
		closed := func(st *stream) bool {
			st.mu.Lock()
			defer st.mu.Unlock()
			return !st.flow.send.open() || st.sendErr != nil && st.flow.recv.received >= st.flow.recv.limit
		}
		waitFor(t, "the windows to close", func() bool {
			c.conn.mu.Lock()
			defer c.conn.mu.Unlock()
			for _, e := range c.conn.streams {
				if !closed(e.(*stream)) {
					return false
				}
			}
			return true
		})
	}
	times := make([]time.Duration, 1000)
	for i := range times {
		start := time.Now()
		if err := echo(ctx, c, "beside"); err != nil {
			t.Fatal(err)
		}
		times[i] = time.Since(start)
	}
	cancel()
	for _, sender := range senders {
		if err := within(t, "the sender", sender); err != context.Canceled {
			t.Errorf("a sender on a stream that nobody receives: got %v", err)
		}
	}
	sort.Slice(times, func(i, j int) bool { return times[i] < times[j] })
	return times[len(times)*99/100]
}

// A sender that waits for its window makes the read loop read, if nobody reads for a
// moment.
func TestSenderHasLoopRead(t *testing.T) {
	c, _ := newTestPair(t, echoMethods())
	needSockets(t, c) // on others the read loop keeps the turn
	for {
		if err := echo(testContext(t), c, "x"); err != nil {
			t.Fatal(err)
		}
		c.conn.mu.Lock()
		nobody := c.reader.turn.holder == heldByNobody
		c.conn.mu.Unlock()
		s := new(slot)
		c.senderWaits(s)
		holder := holderOfTurnAnd(c, func() {
			if n := c.reader.turn.parked; n != 1 {
				t.Errorf("%d receivers are parked, want 1", n)
			}
		})
		c.senderGoesOn(s)
		if holder == heldByNobody {
			t.Fatal("nobody reads while a sender waits for its window")
		}
		if nobody {
			return
		}
	}
}

func holderOfTurnAnd(c *Client, f func()) turnHolder {
	c.conn.mu.Lock()
	defer c.conn.mu.Unlock()
	f()
	return c.reader.turn.holder
}
