//go:build unix

package ttrpc

import (
	"context"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// A program closes many clients, one after another, whose servers do not read. No Close
// waits, and the bytes that the connections accept are written.
func TestCloseManyUnread(t *testing.T) {
	const clients = 50
	for kind, pair := range map[string]func(testing.TB) (net.Conn, net.Conn){
		"unix": func(t testing.TB) (net.Conn, net.Conn) { return socketPair(t) },
		"tcp":  func(t testing.TB) (net.Conn, net.Conn) { return tcpPair(t) },
		"pipe": func(testing.TB) (net.Conn, net.Conn) { return net.Pipe() },
	} {
		pair := pair
		t.Run(kind, func(t *testing.T) {
			var all []*Client
			var peers []net.Conn
			for i := 0; i < clients; i++ {
				ours, theirs := pair(t)
				if sock, ok := ours.(bufferedConn); ok {
					sock.SetWriteBuffer(64 << 10)
				}
				c := NewClient(ours)
				cs, err := c.NewStream(context.Background(), &StreamDesc{StreamingClient: true}, testService, "Join", nil)
				if err != nil {
					t.Fatal(err)
				}
				if err := cs.SendMsg(&KeyValue{Value: strings.Repeat("x", 3<<20>>1)}); err != nil {
					t.Fatal(err)
				}
				all, peers = append(all, c), append(peers, theirs)
			}
			for _, c := range all {
				waitFor(t, "the connection to be full", func() bool { return c.conn.ch.w.stuckSince.Load() != 0 })
			}
			start := time.Now()
			for _, c := range all {
				c.Close()
			}
			if d := time.Since(start); d > lingerLimit {
				t.Errorf("%d clients were closed in %v, want less than %v", clients, d, lingerLimit)
			}
			for i, theirs := range peers {
				theirs.SetReadDeadline(time.Now().Add(testTimeout))
				n, err := io.Copy(io.Discard, theirs)
				if kind != "pipe" && n < 4<<10 || err != nil { // a pipe holds nothing
					t.Fatalf("connection %d: the peer read %d bytes, and %v", i, n, err)
				}
			}
		})
	}
}
