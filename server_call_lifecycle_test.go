package ttrpc

import (
	"bytes"
	"context"
	"io"
	"log"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// In these tests handlers panic, end their goroutine, or hold up others.

// syncBuffer is a bytes.Buffer for several goroutines.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// panicMessage panics when it is encoded or decoded.
type panicMessage struct{}

func (*panicMessage) Reset()                   {}
func (*panicMessage) String() string           { return "" }
func (*panicMessage) ProtoMessage()            {}
func (*panicMessage) Marshal() ([]byte, error) { panic("in Marshal") }
func (*panicMessage) Unmarshal([]byte) error   { panic("in Unmarshal") }

// lifecycleFaults are the ways in which a handler can fail to return.
var lifecycleFaults = map[string]func(unmarshal func(any) error) (any, error){
	"panic":         func(func(any) error) (any, error) { panic("help") },
	"error":         func(func(any) error) (any, error) { panic(io.ErrUnexpectedEOF) },
	"runtime error": func(func(any) error) (any, error) { var m []int; return m[len(m)], nil },
	"Goexit":        func(func(any) error) (any, error) { runtime.Goexit(); return nil, nil },
	"decoding":      func(unmarshal func(any) error) (any, error) { return nil, unmarshal(&panicMessage{}) },
	"encoding":      func(func(any) error) (any, error) { return &panicMessage{}, nil },
}

// A handler that does not return gives its caller an Internal error and the log a line.
// Everything else goes on.
func TestLifecyclePanics(t *testing.T) {
	for name, fault := range lifecycleFaults {
		fault := fault
		t.Run(name, func(t *testing.T) {
			var logged syncBuffer
			desc := echoMethods()
			desc.Methods["Fault"] = func(_ context.Context, unmarshal func(any) error) (any, error) { return fault(unmarshal) }
			desc.Streams["FaultStream"] = Stream{StreamingClient: true, Handler: func(_ context.Context, ss StreamServer) (any, error) {
				return fault(ss.RecvMsg)
			}}
			s, addr := newTestServer(t, desc, WithServerLogger(log.New(&logged, "", 0)))
			c := dialTest(t, addr)
			ctx := testContext(t)
			for i := 0; i < 4; i++ {
				if i%2 == 1 {
					makeQuick(t, s, "Fault") // the reading goroutine runs it
				}
				err := c.Call(ctx, testService, "Fault", &KeyValue{Value: "x"}, &KeyValue{})
				if status.Code(err) != codes.Internal {
					t.Errorf("unary call: got %v, want Internal", err)
				}
				if i%2 == 1 {
					makeQuick(t, s, "FaultStream")
				}
				cs, err := c.NewStream(ctx, &StreamDesc{StreamingClient: true}, testService, "FaultStream", &KeyValue{Value: "x"})
				if err != nil {
					t.Fatal(err)
				}
				if err := cs.RecvMsg(&KeyValue{}); status.Code(err) != codes.Internal {
					t.Errorf("stream: got %v, want Internal", err)
				}
				if err := echo(ctx, c, "after"); err != nil {
					t.Errorf("a call after that: %v", err)
				}
			}
			for _, want := range []string{"/test.Service/Fault", "/test.Service/FaultStream", "stream ", "server_call_lifecycle_test.go"} {
				if !strings.Contains(logged.String(), want) {
					t.Errorf("the log does not have %q:\n%s", want, logged.String())
				}
			}
		})
	}
}

// bestOf returns the shortest of n times: other work of the machine makes times longer, but
// nothing makes them shorter.
func bestOf(n int, f func() time.Duration) time.Duration {
	best := f()
	for i := 1; i < n && best > soon; i++ {
		best = min(best, f())
	}
	return best
}

// Handlers of a method that was quick so far now wait for a lock. They hold up no other
// call of their connection, however many they are.
func TestFairnessBlockedHandlers(t *testing.T) {
	const blocked = 100
	var mu sync.Mutex
	desc := echoMethods()
	desc.Methods["Lock"] = func(context.Context, func(any) error) (any, error) {
		mu.Lock()
		defer mu.Unlock()
		return &KeyValue{}, nil
	}
	s, addr := newTestServer(t, desc)
	w := dialWire(t, addr)
	id := streamID(1)
	next := func(method string) []byte {
		body := mustMarshal(&Request{Service: testService, Method: method, Payload: mustMarshal(&KeyValue{Key: "k"})})
		b := make([]byte, headerLength, headerLength+len(body))
		putHeader(b, header{length: uint32(len(body)), id: id, typ: messageTypeRequest})
		id += 2
		return append(b, body...)
	}
	best := bestOf(10, func() time.Duration {
		makeQuick(t, s, "Lock")
		makeQuick(t, s, "Echo")
		var frames []byte
		for i := 0; i < blocked; i++ {
			frames = append(frames, next("Lock")...)
		}
		last := id
		frames = append(frames, next("Echo")...)
		mu.Lock()
		start := time.Now()
		if _, err := w.Write(frames); err != nil {
			t.Fatal(err)
		}
		if f := w.read(); f.id != last {
			t.Fatalf("got %v, want the response of Echo", f.header)
		}
		elapsed := time.Since(start)
		mu.Unlock()
		for i := 0; i < blocked; i++ {
			w.read()
		}
		return elapsed
	})
	if best > soon {
		t.Errorf("the call behind %d handlers that wait was answered after %v at best", blocked, best)
	}
}

// The same holds for handlers that compute.
func TestFairnessBusyHandler(t *testing.T) {
	if runtime.GOMAXPROCS(0) == 1 {
		t.Skip("on one processor a handler that computes holds up everything until it is preempted")
	}
	const busy = time.Second
	desc := echoMethods()
	desc.Methods["Busy"] = func(ctx context.Context, _ func(any) error) (any, error) {
		for start := time.Now(); time.Since(start) < busy; {
		}
		return &KeyValue{}, nil
	}
	s, addr := newTestServer(t, desc)
	c := dialTest(t, addr)
	needSockets(t, c) // on others the read loop runs no handler
	ctx := testContext(t)
	if err := echo(ctx, c, "the first call, which no read loop runs"); err != nil {
		t.Fatal(err)
	}
	best := bestOf(3, func() time.Duration {
		makeQuick(t, s, "Busy")
		done := make(chan error, 1)
		go func() { done <- c.Call(ctx, testService, "Busy", &KeyValue{}, &KeyValue{}) }()
		m, _ := s.services.Load().find([]byte(testService), []byte("Busy"))
		waitFor(t, "the watchdog to find that the method is slow", func() bool { return m.inline.length.Load() > 0 })
		start := time.Now()
		if err := echo(ctx, c, "x"); err != nil {
			t.Fatal(err)
		}
		elapsed := time.Since(start)
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		return elapsed
	})
	if best > busy/4 {
		t.Errorf("the call beside a handler that computes was answered after %v at best", best)
	}
}

// The server soon reads a call that arrives while the handler of the connection's only
// stream works on a message, and a call right after the end of a stream.
func TestFairnessStreamHandler(t *testing.T) {
	got, work := make(chan struct{}), make(chan struct{})
	desc := echoMethods()
	desc.Streams["Work"] = Stream{StreamingClient: true, StreamingServer: true, Handler: func(_ context.Context, ss StreamServer) (any, error) {
		for {
			var m KeyValue
			if err := ss.RecvMsg(&m); err == io.EOF {
				return nil, nil
			} else if err != nil {
				return nil, err
			}
			got <- struct{}{}
			<-work
			if err := ss.SendMsg(&m); err != nil {
				return nil, err
			}
		}
	}}
	c, _ := newTestPair(t, desc)
	ctx := testContext(t)
	timeEcho := func() time.Duration {
		start := time.Now()
		if err := echo(ctx, c, "x"); err != nil {
			t.Fatal(err)
		}
		return time.Since(start)
	}
	both := &StreamDesc{StreamingClient: true, StreamingServer: true}
	cs, err := c.NewStream(ctx, both, testService, "Work", nil)
	if err != nil {
		t.Fatal(err)
	}
	round := func() time.Duration {
		if err := cs.SendMsg(&KeyValue{}); err != nil {
			t.Fatal(err)
		}
		<-got
		elapsed := timeEcho()
		work <- struct{}{}
		if err := cs.RecvMsg(&KeyValue{}); err != nil {
			t.Fatal(err)
		}
		return elapsed
	}
	for i := 0; i < 10; i++ {
		round() // the server gets used to reading in the handler
	}
	if best := bestOf(10, round); best > soon {
		t.Errorf("while the handler works: answered after %v at best", best)
	}
	if err := cs.CloseSend(); err != nil {
		t.Fatal(err)
	}
	if err := cs.RecvMsg(&KeyValue{}); err != io.EOF {
		t.Fatal(err)
	}
	if best := bestOf(10, timeEcho); best > soon {
		t.Errorf("after the stream: answered after %v at best", best)
	}
}
