package ttrpc

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// wantPanic checks that f panics with text on this goroutine, where a program sees the
// panic.
func wantPanic(t *testing.T, what, text string, f func()) {
	t.Helper()
	defer func() {
		t.Helper()
		if got := fmt.Sprint(recover()); got != text {
			t.Errorf("%s: panics with %q, want %q", what, got, text)
		}
	}()
	f()
}

// Failed dialling and listening return nil, as an interface or as a typed nil.
func TestNilConnection(t *testing.T) {
	var tcp *net.TCPConn
	var unix *net.UnixConn
	for _, conn := range []net.Conn{nil, tcp, unix} {
		wantPanic(t, fmt.Sprintf("NewClient(%T)", conn), "ttrpc: nil connection", func() { NewClient(conn) })
	}
	s := newServer(t, nil, usuallyBusy)
	var listener *net.UnixListener
	for _, l := range []net.Listener{nil, listener} {
		wantPanic(t, fmt.Sprintf("Serve(%T)", l), "ttrpc: nil listener", func() { s.Serve(context.Background(), l) })
	}
	if err := s.Shutdown(testContext(t)); err != nil {
		t.Errorf("Shutdown: %v", err)
	}
}

type nilHandshaker struct{}

func (nilHandshaker) Handshake(context.Context, net.Conn) (net.Conn, any, error) {
	var conn *net.UnixConn
	return conn, nil, nil
}

// A typed nil from a handshaker is not a connection either.
func TestNilHandshake(t *testing.T) {
	log := newLogRecorder()
	_, addr := newTestServer(t, echoMethods(), WithServerHandshaker(nilHandshaker{}), WithServerLogger(log))
	dialRaw(t, addr)
	log.wait(t, "refused", "the handshaker returned no connection")
}

func TestNilRegistered(t *testing.T) {
	s := newServer(t, nil, usuallyBusy)
	wantPanic(t, "a nil method", "ttrpc: nil implementation of /a.S/M registered", func() { s.Register("a.S", map[string]Method{"M": nil}) })
	wantPanic(t, "a nil stream", "ttrpc: nil implementation of /a.S/M registered", func() {
		s.RegisterService("a.S", &ServiceDesc{Streams: map[string]Stream{"M": {StreamingServer: true}}})
	})
	wantPanic(t, "no description", "ttrpc: nil description of service a.S registered", func() { s.RegisterService("a.S", nil) })
	s.RegisterService("a.S", echoMethods()) // refused registrations leave nothing behind
}

func TestMaxCallsText(t *testing.T) {
	for n, want := range map[int]string{
		1: "more than 1 call at once on this connection: see WithServerMaxCalls",
		2: "more than 2 calls at once on this connection: see WithServerMaxCalls",
	} {
		_, addr := newTestServer(t, echoMethods(), WithServerMaxCalls(n))
		c := dialTest(t, addr)
		for i := 0; i < n; i++ {
			if _, err := c.NewStream(testContext(t), &StreamDesc{StreamingClient: true, StreamingServer: true}, testService, "EchoStream", nil); err != nil {
				t.Fatal(err)
			}
		}
		if st := status.Convert(echo(testContext(t), c, "x")); st.Code() != codes.ResourceExhausted || st.Message() != want {
			t.Errorf("got %v, want %q", st, want)
		}
	}
}

// Each error names the message, the side and the limit.
func TestOversizedTexts(t *testing.T) {
	desc := echoMethods()
	long := &KeyValue{Value: strings.Repeat("x", 2000)}
	sent := make(chan error, 1)
	desc.Methods["Long"] = func(context.Context, func(any) error) (any, error) { return long, nil }
	desc.Streams["LongStream"] = Stream{StreamingServer: true, StreamingClient: true, Handler: func(_ context.Context, ss StreamServer) (any, error) {
		err := ss.SendMsg(long)
		sent <- err
		return nil, err
	}}
	small, large := Limits{MaxMessageLength: 1000}, Limits{MaxMessageLength: 10000}
	pair := func(server, client Limits) *Client {
		_, addr := newTestServer(t, desc, WithServerLimits(server))
		return dialTest(t, addr, WithClientLimits(client))
	}
	stream := func(c *Client, method string, m *KeyValue) (sent, received error) {
		cs, err := c.NewStream(testContext(t), &StreamDesc{StreamingClient: true, StreamingServer: true}, testService, method, nil)
		if err != nil {
			t.Fatal(err)
		}
		return cs.SendMsg(m), cs.RecvMsg(&KeyValue{})
	}
	call := func(c *Client, method string, m *KeyValue) error {
		return c.Call(testContext(t), testService, method, m, &KeyValue{})
	}
	open := func(c *Client, m *KeyValue) error {
		_, err := c.NewStream(testContext(t), &StreamDesc{StreamingServer: true}, testService, "Repeat", m)
		return err
	}
	sender := pair(large, small)
	receiver := pair(small, large)
	sendLocal, _ := stream(sender, "LongStream", long)
	<-sent
	_, recvRemote := stream(receiver, "EchoStream", long)
	_, recvLocal := stream(sender, "LongStream", text0)
	<-sent
	_, sendRemote := stream(receiver, "LongStream", text0)
	sendHandler := <-sent
	for _, test := range []struct {
		name            string
		err             error
		want            string
		local, received bool
	}{
		{"Call, request", call(sender, "Echo", long), "the request was not sent", true, false},
		{"NewStream, request", open(sender, long), "the request was not sent", true, false},
		{"SendMsg", sendLocal, "the message was not sent", true, false},
		{"SendMsg of a handler", sendHandler, "the message was not sent", true, false},
		{"Call, response dropped", call(sender, "Long", text0), "the client dropped the response", true, true},
		{"RecvMsg, message dropped", recvLocal, "the receiver dropped the message", true, true},
		{"Call, request dropped", call(receiver, "Echo", long), "the server dropped the request", false, false},
		{"NewStream, message dropped", recvRemote, "the receiver dropped the message", false, false},
		{"Call, response not sent", call(receiver, "Long", text0), "the response was not sent", false, false},
		{"RecvMsg, message not sent", sendRemote, "the message was not sent", false, false},
	} {
		st := status.Convert(test.err)
		const rest = "; Limits.MaxMessageLength is the limit"
		if st.Code() != codes.ResourceExhausted || !strings.HasPrefix(st.Message(), "message length 2") ||
			!strings.HasSuffix(st.Message(), " exceed maximum message size of 1000: "+test.want+rest) {
			t.Errorf("%s: got %v, want %q", test.name, test.err, test.want)
		}
		var oversized *OversizedMessageErr
		if errors.As(test.err, &oversized) != test.local {
			t.Errorf("%s: an *OversizedMessageErr is %v, want %v", test.name, !test.local, test.local)
		} else if test.local && oversized.Received() != test.received {
			t.Errorf("%s: Received is %v", test.name, !test.received)
		}
	}
}

var text0 = &KeyValue{}
