package ttrpc

import (
	"context"
	"runtime"
	"strings"
	"testing"
	"time"
)

// ranHere calls the method Stack and reports whether the read loop ran its handler.
func ranHere(t *testing.T, c *Client, stacks <-chan []uintptr) bool {
	t.Helper()
	if err := c.Call(testContext(t), testService, "Stack", &KeyValue{}, &KeyValue{}); err != nil {
		t.Fatal(err)
	}
	frames := runtime.CallersFrames(<-stacks)
	for {
		frame, more := frames.Next()
		if strings.HasSuffix(frame.Function, ".(*serverConn).runHere") {
			return true
		}
		if !more {
			return false
		}
	}
}

// stackMethods have a method Stack that sends its goroutine's stack.
func stackMethods() (*ServiceDesc, <-chan []uintptr) {
	stacks := make(chan []uintptr, 1)
	desc := echoMethods()
	desc.Methods["Stack"] = func(context.Context, func(any) error) (any, error) {
		stack := make([]uintptr, 100)
		stacks <- stack[:runtime.Callers(0, stack)]
		return &KeyValue{}, nil
	}
	return desc, stacks
}

// On a connection with rare calls each handler has its own goroutine, and no watchdog
// starts.
func TestIsolatedCallsHaveGoroutines(t *testing.T) {
	desc, stacks := stackMethods()
	s, addr := newTestServer(t, desc, func(c *serverConfig) error {
		c.busyInterval = time.Nanosecond
		return nil
	})
	c := dialTest(t, addr)
	for i := 0; i < 5; i++ {
		makeQuick(t, s, "Stack")
		if ranHere(t, c, stacks) {
			t.Fatal("the read loop ran the handler of an isolated call")
		}
	}
	s.watchdog.mu.Lock()
	defer s.watchdog.mu.Unlock()
	if s.watchdog.runs {
		t.Error("the watchdog runs")
	}
}

// The read loop runs no handler of a method that is not known to be quick.
func TestOnlyQuickHandlersOnReadLoop(t *testing.T) {
	desc, stacks := stackMethods()
	s, addr := newTestServer(t, desc)
	c := dialTest(t, addr)
	for _, average := range []int64{0, int64(quickHandler) + 1} {
		for i := 0; i < 20; i++ {
			makeQuick(t, s, "Stack")
			m, _ := s.services.Load().find([]byte(testService), []byte("Stack"))
			m.cost.average.Store(average)
			if ranHere(t, c, stacks) {
				t.Fatalf("the read loop ran a handler that takes %v", time.Duration(average))
			}
		}
	}
}

// On a connection that is not a kernel socket the read loop runs no handler, however quick.
func TestNoHandlerOnOtherReadLoop(t *testing.T) {
	desc, stacks := stackMethods()
	s := newServer(t, desc, usuallyBusy)
	c, _ := servePipe(t, s, testContext(t))
	for i := 0; i < 10; i++ {
		makeQuick(t, s, "Stack")
		if ranHere(t, c, stacks) {
			t.Fatalf("the read loop ran the handler of call %d", i)
		}
	}
}

// After a handler took long on the read loop, many further calls of its method run on their
// own goroutines, however quick they are.
func TestSlowHandlerKeepsOffReadLoop(t *testing.T) {
	desc, stacks := stackMethods()
	s, addr := newTestServer(t, desc)
	c := dialTest(t, addr)
	needSockets(t, c) // on others the read loop runs no handler
	waitFor(t, "the read loop to run the handler", func() bool {
		makeQuick(t, s, "Stack")
		return ranHere(t, c, stacks)
	})
	m, _ := s.services.Load().find([]byte(testService), []byte("Stack"))
	m.inline.failed() // serverConn.leaseExpired
	for i := 0; i < firstBackoff; i++ {
		m.cost.average.Store(1)
		if ranHere(t, c, stacks) {
			t.Fatalf("the read loop ran the handler %d calls after it was slow", i)
		}
	}
	waitFor(t, "the read loop to run the handler again", func() bool {
		m.cost.average.Store(1)
		return ranHere(t, c, stacks)
	})
}

// The read loop runs few of the slow calls of a method that is slow now and then: the more
// of them it has run, the longer it leaves the method alone.
func TestHandlerSlowNowAndThen(t *testing.T) {
	desc, stacks := stackMethods()
	stack := desc.Methods["Stack"]
	calls, slow := 0, false
	desc.Methods["Stack"] = func(ctx context.Context, unmarshal func(any) error) (any, error) {
		calls++
		if slow = calls%50 == 0; slow {
			time.Sleep(3 * time.Millisecond)
		}
		return stack(ctx, unmarshal)
	}
	s, addr := newTestServer(t, desc)
	c := dialTest(t, addr)
	needSockets(t, c) // on others the read loop runs no handler
	m, _ := s.services.Load().find([]byte(testService), []byte("Stack"))
	for calls < firstBackoff-1 {
		m.cost.average.Store(1)
		if ranHere(t, c, stacks) {
			t.Fatalf("the read loop ran the handler of call %d", calls)
		}
	}
	const most = 6
	slowHere := 0
	for calls < firstBackoff<<(most-1) {
		m.cost.average.Store(1)
		if ranHere(t, c, stacks) && slow {
			slowHere++
		}
	}
	if slowHere == 0 || slowHere > most {
		t.Errorf("the read loop ran %d slow handlers of %d, want 1 to %d", slowHere, calls/50, most)
	}
}

// The goroutine that reads a server's socket also runs quick handlers and writes
// their responses. When the peer reads none of these, it reads on all the same (8).
func TestReaderNeverBlocksInWrite(t *testing.T) {
	big := &KeyValue{Value: strings.Repeat("x", 16<<10)}
	var s *Server
	desc := echoMethods()
	desc.Methods["Big"] = func(context.Context, func(any) error) (any, error) {
		makeQuick(t, s, "Big") // whatever else the machine does
		return big, nil
	}
	s, addr := newTestServer(t, desc)
	makeQuick(t, s, "Big")
	w := dialWire(t, addr)
	const calls = 500 // of 8 MB in all, in each direction
	request := mustMarshal(&Request{Service: testService, Method: "Big", Payload: mustMarshal(big)})
	for id := streamID(1); id < 2*calls; id += 2 {
		if err := w.tryWrite(header{id: id, typ: messageTypeRequest}, request); err != nil {
			t.Fatalf("request %d, with no response read: %v", id, err)
		}
	}
	for i := 0; i < calls; i++ {
		if id, resp := w.readResponse(); resp.Status.GetCode() != 0 {
			t.Errorf("response %d: %v", id, resp.Status)
		}
	}
}
