package ttrpc

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// limits are the sets of Limits that are and are not valid.
var limits = []struct {
	limits Limits
	valid  bool
}{
	{Limits{}, true},
	{Limits{MaxMessageLength: 1, MaxPendingWrite: 1, MaxStreamBuffer: 1}, true},
	{Limits{MaxMessageLength: 1<<24 - 1}, true},
	{Limits{MaxMessageLength: 1 << 24}, false},
	{Limits{MaxMessageLength: -1}, false},
	{Limits{MaxPendingWrite: -1}, false},
	{Limits{MaxStreamBuffer: -1}, false},
}

func TestLimitsAreChecked(t *testing.T) {
	for _, test := range limits {
		_, err := NewServer(WithServerLimits(test.limits))
		if (err == nil) != test.valid {
			t.Errorf("server, %+v: got %v", test.limits, err)
		}
		func() {
			defer func() {
				if r := recover(); (r == nil) != test.valid {
					t.Errorf("client, %+v: panicked with %v", test.limits, r)
				}
			}()
			WithClientLimits(test.limits)
		}()
	}
}

// A timeout that is not positive is a mistake of the program.
func TestClientWriteTimeoutIsChecked(t *testing.T) {
	for d, valid := range map[time.Duration]bool{-1: false, 0: false, 1: true} {
		func() {
			defer func() {
				if r := recover(); (r == nil) != valid {
					t.Errorf("%d: panicked with %v", d, r)
				}
			}()
			WithClientWriteTimeout(d)
		}()
	}
}

// A zero field keeps its default.
func TestLimitsDefaults(t *testing.T) {
	config := func(maxLength, maxQueued, maxInbox int) connConfig {
		return connConfig{maxLength: maxLength, maxQueued: maxQueued, maxInbox: maxInbox}
	}
	for _, test := range []struct {
		limits Limits
		want   connConfig
	}{
		{Limits{}, config(4<<20, 1<<20, 4<<20)},
		{Limits{MaxMessageLength: 5}, config(5, 1<<20, 4<<20)},
		{Limits{MaxPendingWrite: 5}, config(4<<20, 5, 4<<20)},
		{Limits{MaxStreamBuffer: 5}, config(4<<20, 1<<20, 5)},
	} {
		s, err := NewServer(WithServerLimits(test.limits))
		if err != nil {
			t.Fatal(err)
		}
		if s.cfg.conn != test.want {
			t.Errorf("server, %+v: got %+v, want %+v", test.limits, s.cfg.conn, test.want)
		}
		c, _ := wireClient(t, WithClientLimits(test.limits))
		if c.cfg.conn != test.want {
			t.Errorf("client, %+v: got %+v, want %+v", test.limits, c.cfg.conn, test.want)
		}
	}
	s, err := NewServer()
	if err != nil {
		t.Fatal(err)
	}
	if want := config(4<<20, 1<<20, 4<<20); s.cfg.conn != want || s.cfg.maxMetadata != 1<<20 || s.cfg.maxCalls != 0 {
		t.Errorf("without options: %+v", s.cfg)
	}
}

// Options that make no sense are errors of NewServer.
func TestServerOptions(t *testing.T) {
	handshaker := handshakeFunc(nil)
	unary := func(ctx context.Context, um Unmarshaler, _ *UnaryServerInfo, m Method) (any, error) {
		return m(ctx, um)
	}
	stream := func(ctx context.Context, ss StreamServer, _ *StreamServerInfo, h StreamHandler) (any, error) {
		return h(ctx, ss)
	}
	own := errors.New("the option's")
	for _, test := range []struct {
		name string
		opts []ServerOpt
		want string // in the error; none for ""
	}{
		{"none", nil, ""},
		{"two handshakers", []ServerOpt{WithServerHandshaker(handshaker), WithServerHandshaker(handshaker)}, "only one handshaker"},
		{"a handshaker and nil", []ServerOpt{WithServerHandshaker(nil), WithServerHandshaker(handshaker)}, ""},
		{"two interceptors", []ServerOpt{WithUnaryServerInterceptor(unary), WithUnaryServerInterceptor(unary)}, "only one"},
		{"an interceptor after a chain", []ServerOpt{WithChainUnaryServerInterceptor(unary), WithUnaryServerInterceptor(unary)}, "only one"},
		{"a chain after an interceptor", []ServerOpt{WithUnaryServerInterceptor(unary), WithChainUnaryServerInterceptor(unary, unary)}, ""},
		{"two chains", []ServerOpt{WithChainUnaryServerInterceptor(unary), WithChainUnaryServerInterceptor(unary)}, ""},
		{"two stream interceptors", []ServerOpt{WithStreamServerInterceptor(stream), WithStreamServerInterceptor(stream)}, "only one"},
		{"a stream interceptor after a chain", []ServerOpt{WithChainStreamServerInterceptor(stream), WithStreamServerInterceptor(stream)}, "only one"},
		{"a chain after a stream interceptor", []ServerOpt{WithStreamServerInterceptor(stream), WithChainStreamServerInterceptor(stream)}, ""},
		{"one of each kind", []ServerOpt{WithUnaryServerInterceptor(unary), WithStreamServerInterceptor(stream)}, ""},
		{"no time for handshakes", []ServerOpt{WithServerHandshakeTimeout(0)}, "not positive"},
		{"negative time for handshakes", []ServerOpt{WithServerHandshakeTimeout(-1)}, "not positive"},
		{"the least time for handshakes", []ServerOpt{WithServerHandshakeTimeout(1)}, ""},
		{"no time for writes", []ServerOpt{WithServerWriteTimeout(0)}, "not positive"},
		{"negative time for writes", []ServerOpt{WithServerWriteTimeout(-1)}, "not positive"},
		{"the least time for writes", []ServerOpt{WithServerWriteTimeout(1)}, ""},
		{"no calls", []ServerOpt{WithServerMaxCalls(0)}, "not positive"},
		{"one call", []ServerOpt{WithServerMaxCalls(1)}, ""},
		{"one handler", []ServerOpt{WithServerMaxHandlers(1)}, ""},
		{"no handlers", []ServerOpt{WithServerMaxHandlers(0)}, "not positive"},
		{"negative connections", []ServerOpt{WithServerMaxConns(-1, 0)}, "negative"},
		{"negative connections of a user", []ServerOpt{WithServerMaxConns(0, -1)}, "negative"},
		{"connections without limit", []ServerOpt{WithServerMaxConns(0, 0)}, ""},
		{"untrusted peers", []ServerOpt{WithServerUntrustedPeers(), WithServerUntrustedPeers()}, ""},
		{"negative metadata", []ServerOpt{WithServerMaxMetadata(-1)}, "negative"},
		{"no metadata", []ServerOpt{WithServerMaxMetadata(0)}, ""},
		{"no logger, no panic handler", []ServerOpt{WithServerLogger(nil), WithServerPanicHandler(nil)}, ""},
		{"an option that fails", []ServerOpt{func(*serverConfig) error { return own }}, own.Error()},
	} {
		s, err := NewServer(test.opts...)
		switch {
		case test.want == "" && (err != nil || s == nil):
			t.Errorf("%s: got %v, %v", test.name, s, err)
		case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want) || s != nil):
			t.Errorf("%s: got %v, %v, want an error with %q", test.name, s, err, test.want)
		}
	}
}

// A message may be as long as the limit, on both sides, up to the last byte below 16 MiB.
// One more byte is refused.
func TestMessageLengthLimit(t *testing.T) {
	for _, limit := range []int{100, 4<<20 + 1, 1<<24 - 1} {
		l := Limits{MaxMessageLength: limit}
		_, addr := newTestServer(t, echoMethods(), WithServerLimits(l))
		c := dialTest(t, addr, WithClientLimits(l))
		for _, over := range []int{0, 1} {
			req := &Request{Service: testService, Method: "Echo", Payload: make([]byte, 0)}
			// The value that makes the request so long, with its envelope.
			value := strings.Repeat("x", limit+over-envelopeAround(req, limit+over))
			var resp KeyValue
			err := c.Call(context.Background(), testService, "Echo", &KeyValue{Value: value}, &resp)
			var oversized *OversizedMessageErr
			switch {
			case over == 0 && (err != nil || resp.Value != value):
				t.Errorf("limit %d: %d bytes came back, %v", limit, len(resp.Value), err)
			case over == 1 && (!errors.As(err, &oversized) || oversized.RejectedLength() != limit+1 || oversized.MaximumLength() != limit):
				t.Errorf("limit %d: one byte more: %v", limit, err)
			}
		}
	}

	// A server with a lower limit refuses messages that its client could send.
	_, addr := newTestServer(t, echoMethods(), WithServerLimits(Limits{MaxMessageLength: 1000}))
	c := dialTest(t, addr)
	if err := echo(testContext(t), c, strings.Repeat("x", 2000)); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("over the server's limit: %v", err)
	}
	// A client with a lower limit refuses a response, and goes on.
	_, addr = newTestServer(t, echoMethods())
	c = dialTest(t, addr, WithClientLimits(Limits{MaxMessageLength: 1000}))
	cs, err := c.NewStream(testContext(t), &StreamDesc{StreamingClient: true}, testService, "Join", nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < 2; i++ {
		if err := cs.SendMsg(&KeyValue{Value: strings.Repeat("x", 900)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := cs.CloseSend(); err != nil {
		t.Fatal(err)
	}
	if err := cs.RecvMsg(&KeyValue{}); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("over the client's limit: %v", err)
	}
	if err := echo(testContext(t), c, "x"); err != nil {
		t.Errorf("the connection: %v", err)
	}
}

// envelopeAround returns the number of bytes around the value of the KeyValue in a request
// of n bytes.
func envelopeAround(req *Request, n int) int {
	fields := len(mustMarshal(&Request{Service: req.Service, Method: req.Method}))
	header := func(length int) int { return len(mustMarshal(&KeyValue{Value: strings.Repeat("x", length)})) - length }
	around := fields + header(n)     // the payload's field, too, is a tag, a length and bytes
	return around + header(n-around) // and in it the value's
}

// As many calls as the option allows run at once on each connection. One more is refused at
// once, and after the end of a call there is room again.
func TestMaxCalls(t *testing.T) {
	g := newGate()
	_, addr := newTestServer(t, g.service(), WithServerMaxCalls(3))
	c, other := dialTest(t, addr), dialTest(t, addr)
	calls := []<-chan error{g.call(t, c), g.stream(t, c), g.call(t, c)}
	for i := 0; i < 3; i++ {
		if err := echo(testContext(t), c, "x"); status.Code(err) != codes.ResourceExhausted {
			t.Errorf("one call more: %v", err)
		}
	}
	if err := echo(testContext(t), other, "x"); err != nil {
		t.Errorf("another connection: %v", err)
	}
	g.proceed <- struct{}{}
	waitFor(t, "room", func() bool { return echo(testContext(t), c, "x") == nil })
	close(g.proceed)
	for _, call := range calls {
		if err := within(t, "call", call); err != nil {
			t.Errorf("a call that was let in: %v", err)
		}
	}
}

// The limit on metadata counts keys, values, and a constant for each entry.
func TestMaxMetadata(t *testing.T) {
	const limit = 1000
	_, addr := newTestServer(t, metadataService(), WithServerMaxMetadata(limit))
	c := dialTest(t, addr)
	call := func(md MD) error {
		return c.Call(WithMetadata(testContext(t), md), testService, "Dump", &KeyValue{}, &KeyValue{})
	}
	many := MD{}
	for i := 0; i <= limit/metadataOverhead; i++ {
		many[fmt.Sprint(i)] = []string{""}
	}
	for name, test := range map[string]struct {
		md   MD
		want codes.Code
	}{
		"none":         {nil, codes.OK},
		"at the limit": {MD{"k": {strings.Repeat("v", limit-metadataOverhead-1)}}, codes.OK},
		"one more":     {MD{"k": {strings.Repeat("v", limit-metadataOverhead)}}, codes.ResourceExhausted},
		"in the key":   {MD{strings.Repeat("k", limit): {""}}, codes.ResourceExhausted},
		"in two":       {MD{"a": {strings.Repeat("v", 500)}, "b": {strings.Repeat("v", 500)}}, codes.ResourceExhausted},
		"many empty":   {many, codes.ResourceExhausted},
	} {
		if err := call(test.md); status.Code(err) != test.want {
			t.Errorf("%s: got %v, want %v", name, err, test.want)
		}
	}
}

// A chain of no interceptors leaves room for an unchained one.
func TestEmptyChain(t *testing.T) {
	one := func(ctx context.Context, _ Unmarshaler, _ *UnaryServerInfo, _ Method) (any, error) { return nil, nil }
	if _, err := NewServer(WithChainUnaryServerInterceptor(), WithUnaryServerInterceptor(one)); err != nil {
		t.Error(err)
	}
	if _, err := NewServer(WithChainUnaryServerInterceptor(one), WithUnaryServerInterceptor(one)); err == nil {
		t.Error("no error for an unchained interceptor after a chain")
	}
	stream := func(ctx context.Context, _ StreamServer, _ *StreamServerInfo, _ StreamHandler) (any, error) {
		return nil, nil
	}
	if _, err := NewServer(WithChainStreamServerInterceptor(), WithStreamServerInterceptor(stream)); err != nil {
		t.Error(err)
	}
}

func TestGoroutinePerCallIsSet(t *testing.T) {
	var c serverConfig
	if err := WithServerGoroutinePerCall()(&c); err != nil || !c.goroutinePerCall {
		t.Errorf("got %v, %v", c.goroutinePerCall, err)
	}
}
