//go:build unix

package ttrpc

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"
	"time"
)

// While part of a header waits for the rest, which a peer may never send, a socket holds
// only a small buffer.
func TestPartialHeaderHoldsLittle(t *testing.T) {
	_, theirs := servedPair(t, echoMethods())
	w := newWire(theirs)
	keepLedger(t, func() {
		l := openLedger.Load()
		for _, b := range [][]byte{{0}, {0, 0, 0}, {0, 0, 0, 1}} { // a header, but for two bytes
			w.Write(b)
			waitFor(t, "a small buffer", func() bool {
				l.mu.Lock()
				defer l.mu.Unlock()
				return l.bytes > 0 && l.bytes <= 256
			})
		}
		w.Close()
		waitFor(t, "its release", func() bool {
			l.mu.Lock()
			defer l.mu.Unlock()
			return l.bytes == 0
		})
	})
}

// A server that drains closes a TCP connection in two steps. A client that sends at that
// moment gets no reset, which would cost it the responses that it has not read yet.
func TestDrainHalfClosesTCP(t *testing.T) {
	const attempts = 5 // on a busy machine lingerLimit may pass in the middle
	var err error
	for i := 0; i < attempts; i++ {
		if err = drainTCP(t); err == nil {
			return
		}
	}
	t.Errorf("%d times: a write after the server's end: %v", attempts, err)
}

// drainTCP returns the error of a client's writes after it has seen the end.
func drainTCP(t *testing.T) error {
	t.Helper()
	s := newServer(t, echoMethods())
	ours, theirs := tcpPair(t)
	s.startConn(s.newServing(context.Background()), ours)
	w := newWire(theirs)
	w.request(1, "Echo", 0, &KeyValue{Value: "x"})
	w.readResponse()
	ended := goErr(func() error { return s.Shutdown(testContext(t)) })
	if _, err := w.tryRead(); err != io.EOF {
		t.Fatalf("got %v, want EOF", err)
	}
	var err error
	for i := 0; i < 3 && err == nil; i++ { // a reset would answer the first one
		_, err = w.Write([]byte{0})
		time.Sleep(time.Millisecond)
	}
	w.Close()
	if err := within(t, "Shutdown", ended); err != nil {
		t.Errorf("Shutdown: %v", err)
	}
	return err
}

// An interrupt in the middle of a frame (in its header, in its payload, or in an oversized
// frame) loses no bytes: the next readFrame goes on there.
func TestInterruptedFrame(t *testing.T) {
	const limit = 20 << 10
	for _, test := range []struct {
		name          string
		length, first int
	}{
		{"header", 100, 4},
		{"payload", 100, headerLength + 50},
		{"long payload", limit, headerLength + 5000},
		{"oversized", limit + 1, headerLength + 5000},
	} {
		ours, theirs := socketPair(t)
		ch := newChannel(ours, limit, 1<<20, func(error) {})
		frame := make([]byte, headerLength+test.length)
		putHeader(frame, header{length: uint32(test.length), id: 1, typ: messageTypeData})
		for i := range frame[headerLength:] {
			frame[headerLength+i] = byte(i)
		}
		write := func(b []byte) {
			if _, err := theirs.Write(b); err != nil {
				t.Fatal(err)
			}
		}
		write(frame[:test.first])
		for begun := false; !begun; begun = ch.body != nil || ch.discard > 0 || ch.buffered() {
			ours.SetReadDeadline(time.Now().Add(5 * time.Millisecond)) // an interrupt while it waits
			if _, _, err := ch.readFrame(); !ch.interrupted(err) {
				t.Fatalf("%s: readFrame: %v", test.name, err)
			}
		}
		write(frame[test.first:])
		h, buf, err := ch.readFrame()
		var oversized *OversizedMessageErr
		switch {
		case errors.As(err, &oversized) != (test.length > limit), oversized == nil && err != nil:
			t.Errorf("%s: readFrame: %v", test.name, err)
		case h != parseHeader(frame):
			t.Errorf("%s: got %v", test.name, h)
		case err == nil && !bytes.Equal(buf.bytes(), frame[headerLength:]):
			t.Errorf("%s: the payload is another", test.name)
		}
		buf.release()
		ch.releaseRead()
		ch.close()
	}
}
