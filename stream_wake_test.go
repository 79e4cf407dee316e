package ttrpc

import (
	"context"
	"io"
	"testing"
)

// newLoneStream returns a stream of a connection without anything else.
func newLoneStream() *stream {
	st := new(stream)
	st.init(&conn{}, new(inbox))
	return st
}

// wantToken checks that a receiver of st is woken.
func wantToken(t *testing.T, why string, st *stream) {
	t.Helper()
	select {
	case <-st.wake:
	default:
		t.Errorf("%s: no receiver is woken", why)
	}
}

// A receiver that leaves something wakes the next one, and so does the end of the stream.
func TestReceiverWakesTheNext(t *testing.T) {
	st := newLoneStream()
	for i := 0; i < 2; i++ {
		st.inbox.put(message{}, 1<<20, 0)
	}
	if _, ok, _ := st.poll(); !ok {
		t.Fatal("there is no message")
	}
	wantToken(t, "a message is left", st)
	if _, ok, _ := st.poll(); !ok {
		t.Fatal("there is no second message")
	}
	if len(st.wake) > 0 {
		t.Error("nothing is left, but a receiver is woken")
	}
	st.drop(io.EOF)
	wantToken(t, "the stream has ended", st)
}

// The first message of a stream is in the stream itself.
func TestInboxSpace(t *testing.T) {
	st := newLoneStream()
	st.inbox.put(message{}, 1<<20, 0)
	if &st.inbox.queue[0] != &st.inbox.space[0] {
		t.Error("the first message costs an allocation")
	}
}

// A sender does not wait for a window that has just opened, nor for one of a stream that
// has ended.
func TestSenderNeedNotWait(t *testing.T) {
	for name, st := range map[string]*stream{
		"open":  {flow: &flow{send: sendWindow{limit: 1}}},
		"ended": {flow: &flow{}, sendErr: io.EOF},
	} {
		if err := st.awaitWindow(context.Background()); err != nil {
			t.Errorf("%s: got %v", name, err)
		}
		if !st.mu.TryLock() {
			t.Errorf("%s: the stream is still locked", name)
		}
	}
}

// The receivers of a client that has gone are woken.
func TestLeavingCallerWakesReceiver(t *testing.T) {
	for _, discard := range []bool{false, true} {
		st := newLoneStream()
		st.leaveCaller(discard)
		wantToken(t, "the client has gone", st)
	}
}
