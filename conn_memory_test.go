package ttrpc

import (
	"context"
	"runtime"
	"sync"
	"testing"
)

// The tests here bound the cost of a call and of a connection. The
// figures are those of both sides, as they run in one process.

// callAllocations is the number of allocations of a unary call: of the client the response
// and its two strings; of the server the call with its context, the function that
// decodes, the request and its two strings.
const callAllocations = 8

func TestCallAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	c, _ := newTestPair(t, echoMethods())
	wantCallAllocations(t, c)
}

// wantCallAllocations checks the number of allocations of calls to Echo.
func wantCallAllocations(t *testing.T, c *Client) {
	t.Helper()
	ctx := testContext(t)
	req := &KeyValue{Key: "key", Value: string(make([]byte, 128))}
	call := func() {
		var resp KeyValue
		if err := c.Call(ctx, testService, "Echo", req, &resp); err != nil {
			t.Fatal(err)
		}
	}
	for i := 0; i < 1000; i++ {
		call()
	}
	// A call may run on a goroutine of its own now and then, when the machine
	// is busy: that allocates once.
	if got := testing.AllocsPerRun(2000, call); got > callAllocations+1 {
		t.Errorf("a call allocates %v times, at most %d", got, callAllocations)
	}
}

func TestStreamMessageAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	c, _ := newTestPair(t, echoMethods())
	cs, err := c.NewStream(testContext(t), &StreamDesc{StreamingClient: true, StreamingServer: true}, testService, "EchoStream", nil)
	if err != nil {
		t.Fatal(err)
	}
	msg := &KeyValue{Key: "key", Value: string(make([]byte, 128))}
	var resp KeyValue
	round := func() {
		if err := cs.SendMsg(msg); err != nil {
			t.Fatal(err)
		}
		if err := cs.RecvMsg(&resp); err != nil {
			t.Fatal(err)
		}
	}
	for i := 0; i < 1000; i++ {
		round()
	}
	// The server's message and two strings on either side.
	if got, most := testing.AllocsPerRun(2000, round), 5.0; got > most {
		t.Errorf("a message there and back allocates %v times, at most %v", got, most)
	}
}

// TestIdleConnection holds the heap and the goroutines of idle connections, of
// client and server together.
func TestIdleConnection(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector needs memory of its own")
	}
	const conns = 300
	s, addr := newTestServer(t, echoMethods())
	ctx := testContext(t)
	if err := echo(ctx, dialTest(t, addr), "the first connection, for what all share"); err != nil {
		t.Fatal(err)
	}
	heap, goroutines := heapInUse(), runtime.NumGoroutine()
	clients := make([]*Client, conns)
	for i := range clients {
		clients[i] = dialTest(t, addr)
		if err := echo(ctx, clients[i], "x"); err != nil {
			t.Fatal(err)
		}
	}
	waitFor(t, "the goroutines of calls to end", func() bool {
		return runtime.NumGoroutine() <= goroutines+2*conns
	})
	if n := runtime.NumGoroutine() - goroutines; n != 2*conns {
		t.Errorf("%d goroutines for %d connections, want one on each side", n, conns)
	}
	perConn := (heapInUse() - heap) / conns
	t.Logf("%d bytes of heap for both ends of a connection", perConn)
	if most := int64(6 << 10); perConn > most {
		t.Errorf("%d bytes of heap for both ends of an idle connection, at most %d", perConn, most)
	}
	runtime.KeepAlive(clients)
	runtime.KeepAlive(s)
}

// heapInUse returns the memory of live objects.
func heapInUse() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func TestGoroutinesAfterCalls(t *testing.T) {
	c, _ := newTestPair(t, echoMethods())
	ctx := testContext(t)
	if err := echo(ctx, c, "x"); err != nil {
		t.Fatal(err)
	}
	before := runtime.NumGoroutine()
	var wg sync.WaitGroup
	for i := 0; i < 100; i++ {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for j := 0; j < 20; j++ {
				ctx, cancel := context.WithCancel(ctx)
				if err := echo(ctx, c, "x"); err != nil {
					t.Error(err)
				}
				cancel()
			}
		}()
	}
	wg.Wait()
	waitFor(t, "the goroutines of calls to end", func() bool { return runtime.NumGoroutine() <= before })
}
