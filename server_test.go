package ttrpc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// A server serves several listeners at once. One that is closed from outside
// ends its Serve with net.ErrClosed, which shims rely on, and nothing else; after
// Close or Shutdown every Serve returns exactly ErrServerClosed.
func TestServeOnListeners(t *testing.T) {
	for name, end := range map[string]func(*Server) error{
		"Close":    (*Server).Close,
		"Shutdown": func(s *Server) error { return s.Shutdown(testContext(t)) },
	} {
		s := newServer(t, echoMethods())
		var listeners []net.Listener
		var served []<-chan error
		for i := 0; i < 3; i++ {
			l := listen(t)
			listeners = append(listeners, l)
			served = append(served, goErr(func() error { return s.Serve(context.Background(), l) }))
		}
		var clients []*Client
		for _, l := range listeners {
			c := dialTest(t, l.Addr().String())
			clients = append(clients, c)
			if err := echo(testContext(t), c, "x"); err != nil {
				t.Fatal(err)
			}
		}
		listeners[0].Close()
		if err := within(t, "Serve", served[0]); !errors.Is(err, net.ErrClosed) || errors.Is(err, ErrServerClosed) {
			t.Errorf("%s: listener closed from outside: got %v", name, err)
		}
		for _, c := range clients {
			if err := echo(testContext(t), c, "x"); err != nil {
				t.Errorf("%s: after the end of one listener: %v", name, err)
			}
		}
		if err := end(s); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for _, ch := range served[1:] {
			if err := within(t, "Serve", ch); err != ErrServerClosed {
				t.Errorf("%s: got %v, want ErrServerClosed", name, err)
			}
		}
		for i, l := range listeners {
			if nc, err := dialLocal(l.Addr().String()); err == nil {
				nc.Close()
				t.Errorf("%s: listener %d is open", name, i)
			}
		}
	}
}

// Serve after Shutdown or Close returns at once (regression 20), and closes the
// listener.
func TestServeAfterEnd(t *testing.T) {
	for name, end := range map[string]func(*Server) error{
		"Close":    (*Server).Close,
		"Shutdown": func(s *Server) error { return s.Shutdown(context.Background()) },
	} {
		s := newServer(t, nil)
		if err := end(s); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		l := listen(t)
		served := goErr(func() error { return s.Serve(context.Background(), l) })
		if err := within(t, "Serve", served); err != ErrServerClosed {
			t.Errorf("%s: got %v, want ErrServerClosed", name, err)
		}
		if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("%s: the listener is open: %v", name, err)
		}
	}
}

// The context given to Serve is the parent of the handlers'. Its end ends
// theirs, but neither Serve nor the connections.
func TestServeContext(t *testing.T) {
	s := newServer(t, nil)
	started := make(chan struct{}, 2)
	ended := make(chan error, 2)
	wait := func(ctx context.Context) (any, error) {
		started <- struct{}{}
		<-ctx.Done()
		ended <- ctx.Err()
		return nil, status.Error(codes.Aborted, "ended")
	}
	desc := echoMethods()
	desc.Methods["Wait"] = func(ctx context.Context, _ func(any) error) (any, error) { return wait(ctx) }
	desc.Methods["Value"] = func(ctx context.Context, _ func(any) error) (any, error) {
		return &KeyValue{Key: fmt.Sprint(ctx.Err()), Value: fmt.Sprint(ctx.Value(ctxKey{}))}, nil
	}
	desc.Streams["WaitStream"] = Stream{StreamingClient: true, Handler: func(ctx context.Context, _ StreamServer) (any, error) {
		return wait(ctx)
	}}
	s.RegisterService(testService, desc)
	ctx, cancel := context.WithCancel(context.WithValue(context.Background(), ctxKey{}, "Serve's"))
	defer cancel()
	l := listen(t)
	served := goErr(func() error { return s.Serve(ctx, l) })
	c := dialTest(t, l.Addr().String())

	var resp KeyValue
	if err := c.Call(testContext(t), testService, "Value", &KeyValue{}, &resp); err != nil || resp.Value != "Serve's" {
		t.Errorf("value of Serve's context: %q, %v", resp.Value, err)
	}
	unary := goErr(func() error { return c.Call(context.Background(), testService, "Wait", &KeyValue{}, &KeyValue{}) })
	cs, err := c.NewStream(context.Background(), &StreamDesc{StreamingClient: true}, testService, "WaitStream", nil)
	if err != nil {
		t.Fatal(err)
	}
	within(t, "handler", started)
	within(t, "handler", started)
	cancel()
	for i := 0; i < 2; i++ {
		if err := within(t, "handler's end", ended); err != context.Canceled {
			t.Errorf("a handler's context ended with %v", err)
		}
	}
	if err := within(t, "Call", unary); status.Code(err) != codes.Aborted {
		t.Errorf("the handler's answer: %v", err)
	}
	if err := cs.RecvMsg(&KeyValue{}); status.Code(err) != codes.Aborted {
		t.Errorf("the stream handler's answer: %v", err)
	}

	// The connection lives, and Serve accepts; contexts are at their end.
	for _, c := range []*Client{c, dialTest(t, l.Addr().String())} {
		if err := c.Call(testContext(t), testService, "Value", &KeyValue{}, &resp); err != nil || resp.Key != "context canceled" {
			t.Errorf("after the end of Serve's context: %q, %v", resp.Key, err)
		}
	}
	select {
	case err := <-served:
		t.Errorf("Serve returned %v", err)
	default:
	}
	s.Close()
	if err := within(t, "Serve", served); err != ErrServerClosed {
		t.Errorf("Serve: got %v", err)
	}
}

// Failures to accept that pass are waited out, and no listener is lost.
func TestAcceptFailsForAWhile(t *testing.T) {
	rec := newLogRecorder()
	s := newServer(t, echoMethods(), WithServerLogger(rec))
	l := newScriptedListener()
	for _, err := range []error{
		syscall.EMFILE, opError(errNoFiles), fmt.Errorf("accept: %w", errConnAborted),
		temporaryError{errors.New("later")},
	} {
		l.accepts <- err
	}
	client, server := net.Pipe()
	l.accepts <- server
	served := goErr(func() error { return s.Serve(context.Background(), l) })
	c := NewClient(client)
	defer c.Close()
	if err := echo(testContext(t), c, "x"); err != nil {
		t.Errorf("after the failures: %v", err)
	}
	rec.wait(t, "accept failed", "too many open files")

	// Another failure is the end of this Serve, and not of the connection.
	broken := errors.New("the listener broke")
	l.accepts <- broken
	if err := within(t, "Serve", served); err != broken {
		t.Errorf("got %v, want the listener's error", err)
	}
	if err := echo(testContext(t), c, "x"); err != nil {
		t.Errorf("after the end of Serve: %v", err)
	}
	select {
	case <-l.closed:
	default:
		t.Error("Serve left its listener open")
	}
}

// A server that waits to accept again closes at once.
func TestCloseWhileAcceptFails(t *testing.T) {
	s := newServer(t, nil, WithServerLogger(newLogRecorder()))
	l := newScriptedListener()
	for i := 0; i < cap(l.accepts); i++ {
		l.accepts <- syscall.EMFILE
	}
	served := goErr(func() error { return s.Serve(context.Background(), l) })
	// By then it waits for some hundred milliseconds.
	waitFor(t, "a few failures", func() bool { return cap(l.accepts)-len(l.accepts) > 6 })
	left := len(l.accepts)
	s.Close()
	if err := within(t, "Serve", served); err != ErrServerClosed {
		t.Errorf("got %v, want ErrServerClosed", err)
	}
	if len(l.accepts) != left {
		t.Error("it waited until its next try")
	}
}

// A name of any length that is not there is not sent back whole: that would be 4 MiB of
// answer and thrice that of garbage.
func TestUnimplementedLongName(t *testing.T) {
	c, _ := newTestPair(t, echoMethods())
	for _, letter := range []string{"n", "\u00e9", "\u20ac", "\U0001f600"} { // of one to four bytes
		name := strings.Repeat(letter, (4<<20-100)/len(letter))
		for what, err := range map[string]error{
			"service": c.Call(testContext(t), name, "M", &KeyValue{}, &KeyValue{}),
			"method":  c.Call(testContext(t), testService, name, &KeyValue{}, &KeyValue{}),
		} {
			text := status.Convert(err).Message()
			if status.Code(err) != codes.Unimplemented || len(text) > 400 {
				t.Errorf("%s of %d bytes: got a text of %d, %.100v", what, len(name), len(text), err)
			}
			if want := "unknown " + what + " " + name[:256/len(letter)*len(letter)] + "… ("; !strings.HasPrefix(text, want) {
				t.Errorf("%s: got  %.500q\nwant %q", what, text, want)
			}
		}
	}
	longest := strings.Repeat("n", 256)
	if err := c.Call(testContext(t), longest, "M", &KeyValue{}, &KeyValue{}); status.Convert(err).Message() != "unknown service "+longest {
		t.Errorf("256 bytes: got %v", err)
	}
}

// An unknown service or method is Unimplemented, never NotFound (regression 7):
// containerd falls back to an older API on it.
func TestUnimplemented(t *testing.T) {
	c, _ := newTestPair(t, echoMethods())
	for _, test := range []struct{ service, method, text string }{
		{"no.Service", "Echo", "no.Service"},
		{testService, "NoMethod", "NoMethod"},
		{testService, "echo", "echo"},
		{"", "Echo", ""},
		{testService, "", ""},
	} {
		err := c.Call(testContext(t), test.service, test.method, &KeyValue{}, &KeyValue{})
		if status.Code(err) != codes.Unimplemented || !strings.Contains(err.Error(), test.text) {
			t.Errorf("%s/%s: got %v", test.service, test.method, err)
		}
		cs, err := c.NewStream(testContext(t), &StreamDesc{StreamingClient: true}, test.service, test.method, nil)
		if err != nil {
			t.Fatal(err)
		}
		// The client may be sending already, which harms nothing: see
		// TestRefusedThenData for the server's answer.
		for i := 0; i < 3; i++ {
			if err := cs.SendMsg(&KeyValue{}); err != nil && err != io.EOF {
				t.Errorf("SendMsg: %v", err)
			}
		}
		if err := cs.RecvMsg(&KeyValue{}); status.Code(err) != codes.Unimplemented {
			t.Errorf("stream %s/%s: got %v", test.service, test.method, err)
		}
	}
	if err := echo(testContext(t), c, "x"); err != nil {
		t.Errorf("the connection: %v", err)
	}
}

// A refused request gets one answer: the messages that the client has sent by then
// are late, and not for a stream that there never was.
func TestRefusedThenData(t *testing.T) {
	_, addr := newTestServer(t, echoMethods())
	w := dialWire(t, addr)
	w.request(1, "NoMethod", flagRemoteOpen|flagNoData, nil)
	w.data(1, 0, &KeyValue{Value: "x"})
	w.data(1, flagRemoteClosed|flagNoData, nil)
	w.request(3, "Echo", 0, &KeyValue{})
	if id, resp := w.readResponse(); id != 1 || codes.Code(resp.Status.GetCode()) != codes.Unimplemented {
		t.Errorf("got %d, %v, want Unimplemented for 1", id, resp)
	}
	if id, resp := w.readResponse(); id != 3 || resp.Status.GetCode() != 0 {
		t.Errorf("got %d, %v, want the response of 3", id, resp)
	}
}

// Services are registered before and while the server serves.
func TestRegister(t *testing.T) {
	s := newServer(t, nil)
	method := func(context.Context, func(any) error) (any, error) { return &KeyValue{}, nil }
	s.Register("one", map[string]Method{"M": method})
	c := serveTest(t, s, context.Background())
	call := func(service string) error {
		return c.Call(testContext(t), service, "M", &KeyValue{}, &KeyValue{})
	}
	if err := call("one"); err != nil {
		t.Error(err)
	}
	if err := call("two"); status.Code(err) != codes.Unimplemented {
		t.Errorf("before it was registered: %v", err)
	}
	methods := map[string]Method{"M": method}
	s.RegisterService("two", &ServiceDesc{Methods: methods})
	if err := call("two"); err != nil {
		t.Error(err)
	}
	delete(methods, "M") // the map is the caller's
	if err := call("two"); err != nil {
		t.Error(err)
	}

	for name, desc := range map[string]*ServiceDesc{
		"one":  {Methods: map[string]Method{"Other": method}},
		"both": {Methods: map[string]Method{"M": method}, Streams: map[string]Stream{"M": {}}},
	} {
		func() {
			defer func() {
				if r := recover(); r == nil || !strings.Contains(fmt.Sprint(r), name) {
					t.Errorf("%s: panicked with %v", name, r)
				}
			}()
			s.RegisterService(name, desc)
		}()
	}
	if err := call("one"); err != nil {
		t.Errorf("after the second registration: %v", err)
	}
}

// A listener need not be of a type that can be compared.
func TestServeUncomparableListener(t *testing.T) {
	s := newServer(t, nil, usuallyBusy)
	l := uncomparableListener{Listener: newMemListener(0)}
	served := make(chan error, 1)
	go func() { served <- s.Serve(context.Background(), l) }()
	s.Close()
	if err := <-served; err != ErrServerClosed {
		t.Errorf("Serve: got %v, want ErrServerClosed", err)
	}
}

type uncomparableListener struct {
	net.Listener
	_ []int
}
