//go:build unix

package ttrpc

import (
	"context"
	"fmt"
	"io"
	"testing"
)

// connections returns how many connections a server has.
func connections(s *Server) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns)
}

// A negotiation costs a call no write of its own: the settings go with the response of a
// handler that the read loop runs, and the acknowledgement goes with the next request.
func TestNegotiationSharesWrites(t *testing.T) {
	s, addr := newTestServer(t, echoMethods())
	const rounds = 20 // pauses of the machine, or an emulator, may disturb some
	writes := make(map[string]int)
	for i := 0; i < rounds; i++ {
		c := dialTest(t, addr)
		for j := 0; j < 2; j++ {
			makeQuick(t, s, "Echo")
			if err := echo(testContext(t), c, "x"); err != nil {
				t.Fatal(err)
			}
		}
		sc := testPairConn(t, s)
		c.Close()
		waitFor(t, "no connection", func() bool { return connections(s) == 0 })
		writes[fmt.Sprintf("client %d, server %d", c.conn.ch.w.progress.Load(), sc.conn.ch.w.progress.Load())]++
	}
	if writes["client 2, server 2"] == 0 {
		t.Errorf("writes of two calls: %v", writes)
	}
}

// An acknowledgement that waits for the next request is sent without one, too.
func TestAcknowledgementIsSent(t *testing.T) {
	c, w := wireClient(t)
	called := goErr(func() error { return c.Call(context.Background(), testService, "M", text("x"), &KeyValue{}) })
	id := w.read().id
	frame := settingsFrame(defaultConnConfig.settings()).b
	if _, err := w.Write(append(frame, emptyResponse(id)...)); err != nil {
		t.Fatal(err)
	}
	if err := within(t, "the call", called); err != nil {
		t.Fatal(err)
	}
	if f := w.read(); f.typ != messageTypeSettings || !f.flags.has(flagAck) {
		t.Errorf("got %v, want an acknowledgement", f.header)
	}
	c.Close()
	if f, err := w.tryRead(); err != io.EOF {
		t.Errorf("got %v, %v after the acknowledgement, want the end", f.header, err)
	}
}
