//go:build unix

package ttrpc

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// timeoutPair returns the peer's end of a connection that a server serves with a write
// timeout, and the server's log.
func timeoutPair(t *testing.T, layer string, limit time.Duration) (*wire, *logRecorder) {
	log := newLogRecorder()
	opts := []ServerOpt{WithServerWriteTimeout(limit), WithServerLogger(log)}
	if layer == "tls" {
		opts = append(opts, WithServerHandshaker(handshakeTLS(newTestCertificate(t))))
	}
	s := newServer(t, echoMethods(), opts...)
	ours, theirs := socketPair(t)
	nc := net.Conn(ours)
	if layer == "wrapped" {
		nc = struct{ net.Conn }{ours}
	}
	s.startConn(s.newServing(context.Background()), nc)
	if layer == "tls" {
		return newWire(tls.Client(theirs, &tls.Config{InsecureSkipVerify: true})), log
	}
	return newWire(theirs), log
}

// longMessage is more than a socket holds.
const longMessage = 3 << 20

// A connection of any kind ends if the peer accepts nothing.
func TestWriteTimeoutOfHungPeer(t *testing.T) {
	for _, layer := range []string{"unix", "tls", "wrapped"} {
		layer := layer
		t.Run(layer, func(t *testing.T) {
			const limit = 100 * time.Millisecond
			w, log := timeoutPair(t, layer, limit)
			start := time.Now()
			w.request(1, "Echo", 0, &KeyValue{Value: strings.Repeat("x", longMessage)})
			log.wait(t, "failed", "has taken none", "100ms")
			if d := time.Since(start); d < limit {
				t.Errorf("the connection was over after %v", d)
			}
			io.Copy(io.Discard, w) // to the end of the connection
		})
	}
}

// Part of a message that the peer accepts counts as progress.
func TestWriteTimeoutOfSlowPeer(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	const limit, steps = 2 * time.Second, 10
	for _, layer := range []string{"unix", "tls"} {
		layer := layer
		t.Run(layer, func(t *testing.T) {
			t.Parallel()
			w, log := timeoutPair(t, layer, limit)
			w.request(1, "Echo", 0, &KeyValue{Value: strings.Repeat("x", longMessage)})
			for i := 0; i < steps; i++ { // a time of the peer's, not one to wait for something
				time.Sleep(limit * 3 / 2 / steps)
				if _, err := io.ReadFull(w, make([]byte, longMessage/steps)); err != nil {
					t.Fatalf("step %d: %v", i, err)
				}
			}
			if got := log.all(); len(got) != 0 {
				t.Errorf("the log has %q", got)
			}
		})
	}
}
