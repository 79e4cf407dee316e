package ttrpc

import (
	"context"
	"net"
	"strings"
	"testing"
)

// wantGone checks that both ends notice the end of a connection: the calls of the
// client, and the server, which forgets it.
func wantGone(t *testing.T, what string, s *Server, c *Client, call <-chan error) {
	t.Helper()
	if c != nil {
		if err := within(t, what, call); err != ErrClosed {
			t.Errorf("%s: got %v, want ErrClosed", what, err)
		}
		if err := c.UserOnCloseWait(testContext(t)); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	if s != nil {
		waitFor(t, what+": an empty table", func() bool {
			s.mu.Lock()
			defer s.mu.Unlock()
			return len(s.conns) == 0
		})
	}
}

// A connection that is reset is closed, and leaks nothing.
func TestResetIsClosed(t *testing.T) {
	reset := func(nc *net.TCPConn) {
		nc.SetLinger(0)
		nc.Close()
	}
	client, server := tcpPair(t)
	c := NewClient(client)
	call := goErr(func() error { return c.Call(context.Background(), testService, "Echo", &KeyValue{}, &KeyValue{}) })
	newWire(server).readRequest()
	reset(server)
	wantGone(t, "client", nil, c, call)

	client, server = tcpPair(t)
	rec := newLogRecorder()
	s := newServer(t, nil, WithServerLogger(rec))
	g := newGate()
	s.RegisterService(testService, g.service())
	l := newScriptedListener()
	l.accepts <- server
	served := goErr(func() error { return s.Serve(context.Background(), l) })
	w := newWire(client)
	w.request(1, "Wait", 0, &KeyValue{})
	within(t, "handler", g.started)
	reset(client)
	if err := within(t, "handler's end", g.ended); err != context.Canceled {
		t.Errorf("the handler's context ended with %v", err)
	}
	wantGone(t, "server", s, nil, nil)
	s.Close()
	within(t, "Serve", served)
	if lines := rec.all(); len(lines) != 0 {
		t.Errorf("the log has %q", lines)
	}
}

// A peer that closes in the middle of a frame, at any place, closes the
// connection.
func TestCloseInMidFrame(t *testing.T) {
	body := mustMarshal(&Response{Payload: mustMarshal(&KeyValue{Value: strings.Repeat("x", 8000)})})
	frame := make([]byte, headerLength, headerLength+len(body))
	putHeader(frame, header{length: uint32(len(body)), id: 1, typ: messageTypeResponse})
	frame = append(frame, body...)
	for _, n := range []int{0, 1, headerLength - 1, headerLength, headerLength + 1, 4096, len(frame) - 1} {
		c, w := wireClient(t)
		call := goErr(func() error { return c.Call(context.Background(), testService, "Echo", &KeyValue{}, &KeyValue{}) })
		w.readRequest()
		if _, err := w.Write(frame[:n]); err != nil {
			t.Fatal(err)
		}
		w.Close()
		wantGone(t, "client", nil, c, call)
	}

	s, addr := newTestServer(t, echoMethods())
	frame[8] = byte(messageTypeRequest)
	for _, n := range []int{0, 1, headerLength - 1, headerLength, headerLength + 1, 4096, len(frame) - 1} {
		w := dialWire(t, addr)
		if _, err := w.Write(frame[:n]); err != nil {
			t.Fatal(err)
		}
		w.Close()
	}
	wantGone(t, "server", s, nil, nil)
}
