package ttrpc

import (
	"context"
	"fmt"
	"net"
	"regexp"
	"runtime"
	"runtime/pprof"
	"strings"
	"sync"
	"testing"
	"time"
)

var goroutineIDs = regexp.MustCompile(`goroutine (\d+)`)

// goroutine returns the ids of the caller's goroutine and of its creator.
func goroutine() (id, creator string) {
	b := make([]byte, 16<<10)
	ids := goroutineIDs.FindAllSubmatch(b[:runtime.Stack(b, false)], -1)
	return string(ids[0][1]), string(ids[len(ids)-1][1])
}

// The goroutine that has read an isolated call runs its handler, and has started a new one
// that reads.
func TestCallHandedOver(t *testing.T) {
	ids, creators := make(chan string, 1), make(chan string, 1)
	desc := echoMethods()
	desc.Methods["Note"] = func(context.Context, func(any) error) (any, error) {
		id, creator := goroutine()
		ids <- id
		creators <- creator
		return &KeyValue{}, nil
	}
	s, addr := newTestServer(t, desc, func(c *serverConfig) error {
		c.busyInterval = time.Nanosecond
		return nil
	})
	c := dialTest(t, addr)
	previous := ""
	for i := 0; i < 20; i++ {
		makeQuick(t, s, "Note")
		if err := c.Call(testContext(t), testService, "Note", &KeyValue{}, &KeyValue{}); err != nil {
			t.Fatal(err)
		}
		id, creator := <-ids, <-creators
		if previous != "" && creator != previous {
			t.Errorf("goroutine %s runs call %d and was started by %s, want %s, which ran the call before", id, i, creator, previous)
		}
		previous = id
	}
}

// The first call of a connection is handed over, however busy the server is.
func TestFirstCallHandedOver(t *testing.T) {
	desc, stacks := stackMethods()
	s, addr := newTestServer(t, desc)
	busy := dialTest(t, addr)
	for i := 0; i < 10; i++ {
		makeQuick(t, s, "Stack")
		c := dialTest(t, addr)
		if err := echo(testContext(t), busy, "x"); err != nil {
			t.Fatal(err)
		}
		s.lastRequest.Store(clock())
		if ranHere(t, c, stacks) {
			t.Fatal("the read loop ran the handler of the first call")
		}
	}
}

// With WithServerGoroutinePerCall no goroutine runs two calls. The labels that handlers set
// do not outlive their calls: no goroutine that has run a handler's code starts another.
func TestServerGoroutinePerCall(t *testing.T) {
	for _, busyInterval := range []time.Duration{time.Nanosecond, time.Minute} {
		t.Run(fmt.Sprintf("busy within %v", busyInterval), func(t *testing.T) { testGoroutinePerCall(t, busyInterval) })
	}
}

func testGoroutinePerCall(t *testing.T, busyInterval time.Duration) {
	var mu sync.Mutex
	calls := make(map[string]int)
	desc := echoMethods()
	desc.Methods["Note"] = func(ctx context.Context, _ func(any) error) (any, error) {
		pprof.SetGoroutineLabels(pprof.WithLabels(ctx, pprof.Labels("set by", "handler")))
		id, _ := goroutine()
		mu.Lock()
		defer mu.Unlock()
		calls[id]++
		return &KeyValue{}, nil
	}
	s, addr := newTestServer(t, desc, WithServerGoroutinePerCall(), func(c *serverConfig) error {
		c.busyInterval = busyInterval
		return nil
	})
	ctx := testContext(t)
	c := dialTest(t, addr)
	cs, err := c.NewStream(ctx, &StreamDesc{StreamingClient: true, StreamingServer: true}, testService, "EchoStream", nil)
	if err != nil {
		t.Fatal(err)
	}
	const n = 100
	for i := 0; i < n; i++ {
		if err := cs.SendMsg(&KeyValue{}); err != nil {
			t.Fatal(err)
		}
		if err := cs.RecvMsg(&KeyValue{}); err != nil {
			t.Fatal(err)
		}
		makeQuick(t, s, "Note")
		if err := c.Call(ctx, testService, "Note", &KeyValue{}, &KeyValue{}); err != nil {
			t.Fatal(err)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if len(calls) != n {
		t.Errorf("%d calls ran on %d goroutines", n, len(calls))
	}
	waitFor(t, "no goroutine with the labels of a handler", func() bool {
		var profile strings.Builder
		if err := pprof.Lookup("goroutine").WriteTo(&profile, 1); err != nil {
			t.Fatal(err)
		}
		return !strings.Contains(profile.String(), "set by")
	})
}

// No handler runs on the goroutine of the handshaker, which may have changed it for good.
func TestHandshakersGoroutine(t *testing.T) {
	handshakers, handlers := make(chan string, 1), make(chan string, 1)
	desc := echoMethods()
	desc.Methods["Note"] = func(context.Context, func(any) error) (any, error) {
		id, _ := goroutine()
		handlers <- id
		return &KeyValue{}, nil
	}
	_, addr := newTestServer(t, desc, WithServerHandshaker(handshakerFunc(func(_ context.Context, nc net.Conn) (net.Conn, any, error) {
		id, _ := goroutine()
		handshakers <- id
		return nc, nil, nil
	})))
	if err := dialTest(t, addr).Call(testContext(t), testService, "Note", &KeyValue{}, &KeyValue{}); err != nil {
		t.Fatal(err)
	}
	if handshaker, handler := <-handshakers, <-handlers; handler == handshaker {
		t.Errorf("goroutine %s ran both the handshaker and the handler", handler)
	}
}

// Settings and responses do not wait for a handler that is not known to be quick, even if the
// new read loop has no processor.
func TestNothingWaitsForHandedOverCall(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	left := make(chan bool, 1)
	desc := echoMethods()
	desc.Methods["Note"] = func(ctx context.Context, _ func(any) error) (any, error) {
		w := &ctx.Value(callKey{}).(*serverCall).sc.conn.ch.w
		w.mu.Lock()
		defer w.mu.Unlock()
		left <- len(w.queue) > 0
		return &KeyValue{}, nil
	}
	_, addr := newTestServer(t, desc)
	c := dialTest(t, addr)
	needSockets(t, c) // on others a goroutine writes
	if err := c.Call(testContext(t), testService, "Note", &KeyValue{}, &KeyValue{}); err != nil {
		t.Fatal(err)
	}
	if <-left {
		t.Error("the settings wait for the handler")
	}
}
