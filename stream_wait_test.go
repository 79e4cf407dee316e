package ttrpc

import (
	"context"
	"io"
	"testing"
)

// lone returns a stream on a connection that nobody reads.
func lone(t *testing.T, e *scriptedEndpoint) *stream {
	near, _ := memPipe(0)
	st := &stream{slot: slot{id: 1}}
	st.init(scriptedConn(t, near, e), new(inbox))
	return st
}

// A receiver whose context ends together with the arrival of a message gets the message,
// and the end of the stream likewise.
func TestReceiverPrefersMessage(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for name, test := range map[string]struct {
		arrive func(*stream)
		err    error
	}{
		"message": {func(st *stream) { st.push(message{typ: messageTypeData}) }, nil},
		"end":     {func(st *stream) { st.end(io.EOF) }, io.EOF},
		"nothing": {func(st *stream) { st.signal() }, context.Canceled},
	} {
		e := &scriptedEndpoint{}
		st := lone(t, e)
		e.onReceiverWaits = func(entry) {
			test.arrive(st)
			<-st.wake // the context alone wakes the receiver
		}
		if m, err := st.recv(ctx); err != test.err || err == nil && m.typ != messageTypeData {
			t.Errorf("%s: got %v, %v, want %v", name, m, err, test.err)
		}
	}
}

// The endpoint knows of a sender that waits for its window, from before the wait to its end.
func TestEndpointKnowsWaitingSender(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var waits, goes []*slot
	st := lone(t, &scriptedEndpoint{
		onSenderWaits: func(s *slot) {
			waits = append(waits, s)
			cancel()
		},
		onSenderGoes: func(s *slot) { goes = append(goes, s) },
	})
	st.flow = &flow{send: sendWindow{sent: 1, limit: 1}}
	if err := st.awaitWindow(ctx); err != context.Canceled {
		t.Errorf("got %v, want context.Canceled", err)
	}
	if len(waits) != 1 || len(goes) != 1 || waits[0] != goes[0] {
		t.Errorf("got %v and %v, want one sender", waits, goes)
	}
}

// A sender whose window opens when the queue is closed gets the reason.
func TestWindowOpensOnClosedQueue(t *testing.T) {
	st := lone(t, &scriptedEndpoint{})
	st.flow = &flow{}
	st.conn.ch.w.room.close(ErrClosed)
	if err := st.reserveOpen(context.Background(), 0); err != ErrClosed {
		t.Errorf("got %v, want ErrClosed", err)
	}
}

// A sender that goes on after its window has opened finds out that its context has ended,
// and gives the room back.
func TestWindowOpensAfterContext(t *testing.T) {
	st := lone(t, &scriptedEndpoint{})
	st.flow = &flow{}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := st.reserveOpen(ctx, 0); err != context.Canceled {
		t.Errorf("got %v, want context.Canceled", err)
	}
	if n, _ := st.conn.ch.w.room.load(); n != 0 {
		t.Errorf("%d bytes of room are taken", n)
	}
}

// The last frame is sent although the context has ended: it costs nobody a wait.
func TestLastFrameAfterContext(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for final, want := range map[finality]error{moreFrames: context.Canceled, lastFrame: nil} {
		st := lone(t, &scriptedEndpoint{})
		buf, err := st.encodeData(text("x"), 0)
		if err != nil {
			t.Fatal(err)
		}
		if err := st.send(ctx, buf, final); err != want {
			t.Errorf("%v: got %v, want %v", final, err, want)
		}
	}
}

// The messages of a client that ended a stream early get no window.
func TestNoWindowForEndedStream(t *testing.T) {
	for _, ended := range []bool{false, true} {
		st := lone(t, &scriptedEndpoint{})
		st.flow = &flow{}
		if ended {
			st.inbox.close(io.EOF)
		}
		st.giveWindow(100)
		if got := st.conn.ch.w.claim(); got == ended {
			t.Errorf("ended %v: a window frame is queued: %v", ended, got)
		}
	}
}

// A message that cannot be encoded leaves no buffer behind.
func TestUnencodedDataIsReleased(t *testing.T) {
	st := lone(t, &scriptedEndpoint{})
	keepLedger(t, func() {
		if _, err := st.encodeData(&changingMessage{says: 10, is: 5}, 0); err == nil {
			t.Error("no error")
		}
	})
}
