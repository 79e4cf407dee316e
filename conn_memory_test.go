package ttrpc

import (
	"context"
	"fmt"
	"net"
	"os"
	"runtime"
	"sync"
	"testing"
)

// These tests bound the cost of a call and of a connection. The figures are those of both
// sides, which run in one process.

const (
	// callAllocations is the number of allocations of a unary call: of the client the
	// response and its two strings; of the server the call with its context, the function
	// that decodes, the request and its two strings.
	callAllocations = 8

	// writeAllocations is the number that the writes of both sides add to a call, or to a
	// message there and back, on a connection that is not a kernel socket: each is made by
	// a goroutine, whose function is one allocation.
	writeAllocations = 2

	// idleBuffers is the size of the buffers of an idle connection of this kind, on both
	// sides together: each side waits for the next frame with a buffer for minReadLength
	// and a header, which the allocator rounds up.
	idleBuffers = 2 * 4864
)

// onEachConn runs f with a client of echoMethods on a kernel socket, if the system has raw
// access to sockets, and on a connection that the library does not recognize as a socket.
// dial makes another client of the same kind.
func onEachConn(t *testing.T, f func(t *testing.T, socket bool, dial func() *Client)) {
	if raceEnabled {
		t.Skip("the race detector allocates, and needs memory of its own")
	}
	t.Run("socket", func(t *testing.T) {
		_, addr := newTestServer(t, echoMethods())
		needSockets(t, dialTest(t, addr))
		f(t, true, func() *Client { return dialTest(t, addr) })
	})
	t.Run("other", func(t *testing.T) {
		s := newServer(t, echoMethods())
		l := plainListener{listen(t)}
		served := goErr(func() error { return s.Serve(context.Background(), l) })
		defer func() {
			s.Close()
			within(t, "Serve", served)
		}()
		f(t, false, func() *Client {
			c := NewClient(struct{ net.Conn }{dialRaw(t, l.Addr().String())})
			t.Cleanup(func() { c.Close() })
			return c
		})
	})
}

// plainListener accepts connections that have only the methods of net.Conn.
type plainListener struct{ net.Listener }

func (l plainListener) Accept() (net.Conn, error) {
	nc, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return struct{ net.Conn }{nc}, nil
}

func TestCallAllocations(t *testing.T) {
	onEachConn(t, testCallAllocations)
}

func testCallAllocations(t *testing.T, socket bool, dial func() *Client) {
	most := callAllocations
	if !socket {
		most += writeAllocations
	}
	wantCallAllocations(t, dial(), most)
}

// wantCallAllocations checks the number of allocations of calls to Echo.
func wantCallAllocations(t *testing.T, c *Client, most int) {
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
	if got := testing.AllocsPerRun(2000, call); got > float64(most+1) {
		t.Errorf("a call allocates %v times, at most %d", got, most)
	}
}

func TestStreamMessageAllocations(t *testing.T) {
	onEachConn(t, testStreamMessageAllocations)
}

func testStreamMessageAllocations(t *testing.T, socket bool, dial func() *Client) {
	most := 5 // the server's message, and two strings on either side
	if !socket {
		most += writeAllocations
	}
	cs, err := dial().NewStream(testContext(t), &StreamDesc{StreamingClient: true, StreamingServer: true}, testService, "EchoStream", nil)
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
	if got := testing.AllocsPerRun(2000, round); got > float64(most) {
		t.Errorf("a message there and back allocates %v times, at most %v", got, most)
	}
}

// TestIdleConnection limits the heap and the goroutines of idle connections, for client and
// server together.
func TestIdleConnection(t *testing.T) {
	onEachConn(t, testIdleConnection)
}

func testIdleConnection(t *testing.T, socket bool, dial func() *Client) {
	most := int64(6 << 10)
	if !socket {
		most += idleBuffers
	}
	if runtime.GOOS == "windows" { // whose sockets are larger
		most += 1 << 10
	}
	const conns = 300
	ctx := testContext(t)
	first := dial() // for what all share
	if err := echo(ctx, first, "x"); err != nil {
		t.Fatal(err)
	}
	waitForLoop(t, first)
	heap, goroutines := heapInUse(), runtime.NumGoroutine()
	clients := make([]*Client, conns)
	for i := range clients {
		clients[i] = dial()
		if err := echo(ctx, clients[i], "x"); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range clients {
		waitForLoop(t, c)
	}
	waitFor(t, "one goroutine on each side of a connection", func() bool {
		return runtime.NumGoroutine() <= goroutines+2*conns
	})
	var perConn int64
	defer func() { t.Logf("%d bytes of heap for both ends of a connection", perConn) }()
	waitFor(t, fmt.Sprintf("at most %d bytes of heap for both ends of an idle connection", most), func() bool {
		perConn = (heapInUse() - heap) / conns // for a moment some read loops have buffers
		return perConn <= most
	})
	runtime.KeepAlive(clients)
}

// The goroutine that waits on an idle connection of a server has the smallest stack, also
// after a call.
func TestIdleConnectionStack(t *testing.T) {
	if raceEnabled || runtime.GOOS != "linux" || runtime.GOARCH != "amd64" {
		t.Skip("the frames of functions are larger")
	}
	const small = "adaptivestackstart=0" // the average stack of other tests is no matter
	if os.Getenv("GODEBUG") != small {
		child := childTest(testContext(t), "TestIdleConnectionStack")
		child.Env = append(os.Environ(), "GODEBUG="+small)
		if out, err := child.CombinedOutput(); err != nil {
			t.Errorf("%v: %s", err, out)
		}
		return
	}
	const conns, most = 256, 3 << 10
	_, addr := newTestServer(t, echoMethods())
	before, goroutines := stackInUse(), runtime.NumGoroutine()
	for i := 0; i < conns; i++ {
		w := dialWire(t, addr)
		w.request(1, "Echo", 0, text("x"))
		if id, resp := w.readResponse(); id != 1 || resp.Status.GetCode() != 0 {
			t.Fatalf("response %d: %v", id, resp.Status)
		}
	}
	waitFor(t, "the goroutines of calls to end", func() bool { return runtime.NumGoroutine() <= goroutines+conns })
	if perConn := (stackInUse() - before) / conns; perConn > most {
		t.Errorf("the stack of an idle connection takes %d bytes, at most %d", perConn, most)
	}
}

func stackInUse() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.StackInuse)
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
	waitForLoop(t, c)
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
