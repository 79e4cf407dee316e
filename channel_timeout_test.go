//go:build go1.25

package ttrpc

import (
	"context"
	"strings"
	"testing"
	"time"
)

const bubbleWriteTimeout = 10 * time.Second

// A server ends a connection whose peer has accepted nothing for the time of the option,
// neither earlier nor later. A connection goes on whose peer accepts a little now and then,
// or that has nothing to write.
func TestWriteTimeoutServer(t *testing.T) {
	bubble(t, func(t *testing.T) {
		log := newLogRecorder()
		s := newServer(t, echoMethods(), WithServerWriteTimeout(bubbleWriteTimeout), WithServerLogger(log))
		near, far := memPipe(packetLength)
		s.startConn(s.newServing(context.Background()), near)
		w := newWire(far)
		defer w.Close()
		const calls, size = 4, 3000 // a response is a Write
		send := func() {
			for id := streamID(1); id < 2*calls; id += 2 {
				w.request(id, "Echo", 0, text(strings.Repeat("x", size)))
			}
		}

		send()
		for i := 0; i < calls; i++ {
			time.Sleep(bubbleWriteTimeout * 4 / 5)
			w.read()
		}
		time.Sleep(time.Hour)
		if got := log.all(); len(got) != 0 {
			t.Fatalf("with a peer that is slow, and an idle one: %q", got)
		}

		send()
		w.read()
		start := time.Now()
		log.wait(t, "failed", "has taken none", "10s")
		wantElapsed(t, "the end of the connection", start, bubbleWriteTimeout+writeGrace)
	})
}

// A client also ends such a connection, and its calls return ErrClosed.
func TestWriteTimeoutClient(t *testing.T) {
	bubble(t, func(t *testing.T) {
		near, far := memPipe(packetLength)
		defer far.Close()
		c := NewClient(near, WithClientWriteTimeout(bubbleWriteTimeout))
		defer c.Close()
		start := time.Now()
		if err := echo(context.Background(), c, strings.Repeat("x", 2*packetLength)); err != ErrClosed {
			t.Errorf("a call: got %v, want ErrClosed", err)
		}
		wantElapsed(t, "the end of the connection", start, bubbleWriteTimeout+writeGrace)
	})
}

// After this process was stopped, the timer gives the flusher a moment to notice that the
// peer has accepted bytes.
func TestWriteTimeoutAfterStop(t *testing.T) {
	expired := 0
	w := &writer{flushing: true}
	w.timeout = &writeTimeout{limit: time.Hour, expire: func(error) { expired++ }, timer: time.AfterFunc(time.Hour, func() {})}
	defer w.timeout.timer.Stop()
	since := clock() - int64(2*time.Hour)
	w.stuckSince.Store(since)
	w.checkPeer()
	w.stuckSince.Store(clock()) // the flusher has written
	w.checkPeer()
	w.stuckSince.Store(since + 1) // the clock of Windows may not have moved
	w.checkPeer()
	if expired > 0 {
		t.Fatal("the connection has ended at the first look")
	}
	w.checkPeer()
	if expired != 1 {
		t.Error("the connection goes on after the second look")
	}
}

// The timer ends with the flusher, and the next flusher starts it again. It does not start
// after an error, nor anew while it runs.
func TestWriteTimeoutRestarts(t *testing.T) {
	fires := make(chan struct{}, 1)
	w := &writer{}
	w.timeout = &writeTimeout{limit: time.Hour, expire: func(error) {}}
	w.watchPeer()
	defer func() { w.timeout.timer.Stop() }()
	w.checkPeer() // without a flusher
	if w.timeout.runs {
		t.Fatal("the timer runs without a flusher")
	}
	w.watchPeer()
	if !w.timeout.runs {
		t.Fatal("the timer does not run for the next flusher")
	}
	w.timeout.timer.Stop()
	w.timeout.timer = time.AfterFunc(0, func() { fires <- struct{}{} })
	w.watchPeer()
	within(t, "the timer that runs", fires)

	failed := &writer{err: ErrClosed, timeout: &writeTimeout{limit: time.Hour}}
	failed.watchPeer()
	if timer := failed.timeout.timer; timer != nil {
		timer.Stop()
		t.Error("the timer runs after an error")
	}
}
