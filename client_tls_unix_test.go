//go:build unix

package ttrpc

import (
	"context"
	"crypto/tls"
	"net"
	"strings"
	"testing"
	"time"
)

// The contexts of calls end them also if a peer behind TLS has answered and then reads no
// more.
func TestCallsToHungTLS(t *testing.T) {
	for name, pair := range map[string]func() (ours, theirs net.Conn){
		"tcp": func() (net.Conn, net.Conn) {
			ours, theirs := tcpPair(t)
			ours.SetWriteBuffer(1)
			theirs.SetReadBuffer(1)
			return ours, theirs
		},
		"unix": func() (net.Conn, net.Conn) {
			ours, theirs := socketPair(t)
			ours.SetWriteBuffer(1)
			return ours, theirs
		},
	} {
		pair := pair
		t.Run(name, func(t *testing.T) {
			ours, theirs := pair()
			c := NewClient(tls.Client(ours, &tls.Config{InsecureSkipVerify: true}))
			t.Cleanup(func() { c.Close() })
			w := newWire(tls.Server(theirs, &tls.Config{Certificates: []tls.Certificate{newTestCertificate(t)}}))
			first := goErr(func() error { return c.Call(testContext(t), testService, "M", text("x"), &KeyValue{}) })
			if _, err := w.Write(emptyResponse(w.read().id)); err != nil {
				t.Fatal(err)
			}
			if err := within(t, "the first call", first); err != nil {
				t.Fatal(err)
			}
			msg := text(strings.Repeat("x", 512))
			cw := &c.conn.ch.w
			stuck := func() bool {
				cw.mu.Lock()
				defer cw.mu.Unlock()
				return cw.flushing && len(cw.queue) > 0
			}
			for i, calls := 0, 0; i < 10; calls++ {
				if stuck() {
					i++
				} else if calls == 1000 {
					t.Fatal("the peer has taken all requests")
				}
				ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
				call := goErr(func() error { return c.Call(ctx, testService, "M", msg, &KeyValue{}) })
				if err := within(t, "a call", call); err != context.DeadlineExceeded {
					t.Fatalf("call %d: got %v, want DeadlineExceeded", calls, err)
				}
				cancel()
			}
		})
	}
}
