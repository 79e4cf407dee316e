package ttrpc

import (
	"context"
	"flag"
	"io"
	"math/rand"
	"net"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

var soakTime = flag.Duration("soak", 0, "how long TestSoak runs; without it, a moment with few callers")

// TestSoak runs a server under every load at once: thousands of callers and streams over
// tens of connections of several kinds, with and without extensions, with random sizes,
// deadlines, cancellations, slow readers, and connections that are closed or lost. It
// checks each response against its request, and each error against its possible causes. At
// the end nothing may be left. A third of the time goes to each mode of cancellation. `make
// soak` runs it for long.
func TestSoak(t *testing.T) {
	for _, mode := range []CancelMode{CancelNone, CancelStreams, CancelAll} {
		t.Run(mode.String(), func(t *testing.T) {
			s := &soak{t: t, mode: mode, duration: *soakTime / 3, conns: 30, callers: 3000}
			if s.duration == 0 {
				s.duration, s.conns, s.callers = 200*time.Millisecond, 12, 100
			}
			s.runMeasured()
		})
	}
}

// runMeasured runs the load and checks that nothing is left.
func (s *soak) runMeasured() {
	t := s.t
	if leaked := leakedGoroutines(testTimeout); leaked != "" {
		t.Fatalf("an earlier test left goroutines:\n%s", leaked)
	}
	makeGoroutines(10 * s.callers)
	before := measure()
	s.run()
	if leaked := leakedGoroutines(testTimeout); leaked != "" {
		t.Errorf("goroutines are left:\n%s", leaked)
	}
	after := measure()
	if after.files > before.files {
		t.Errorf("%d file descriptors are left", after.files-before.files)
	}
	if after.heap > before.heap+2<<20 {
		t.Errorf("the heap has grown from %d to %d KiB", before.heap>>10, after.heap>>10)
	}
	t.Logf("%v: %d calls, %d streams, %d messages, %d given up, %d cut off, %d connections",
		s.duration, s.calls.Load(), s.streams.Load(), s.messages.Load(), s.givenUp.Load(), s.cutOff.Load(), s.dialed.Load())
	t.Logf("of the streams that clients left open, which the server is not always told, it had %d", s.kept)
	t.Logf("goroutines %d, then %d; descriptors %d, then %d; heap %d KiB, then %d KiB",
		before.goroutines, after.goroutines, before.files, after.files, before.heap>>10, after.heap>>10)
}

// makeGoroutines runs n goroutines at once. The runtime keeps half a kilobyte for each of
// them forever, which then does not count as a leak of the load.
func makeGoroutines(n int) {
	var wg sync.WaitGroup
	end := make(chan struct{})
	for i := 0; i < n; i++ {
		wg.Add(1)
		go func() {
			defer wg.Done()
			<-end
		}()
	}
	close(end)
	wg.Wait()
}

// measured has the figures that must be the same before and after the load.
type measured struct {
	goroutines, files int
	heap              uint64
}

func measure() (m measured) {
	for i := 0; i < 3; i++ {
		runtime.GC() // pools take two rounds to empty
	}
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	if runtime.GOOS == "linux" { // Wine has the directory, with files of its own in it
		files, err := os.ReadDir("/proc/self/fd")
		if err == nil {
			m.files = len(files)
		}
	}
	m.heap, m.goroutines = stats.HeapAlloc, runtime.NumGoroutine()
	return m
}

// soak is one run of TestSoak.
type soak struct {
	t        *testing.T
	mode     CancelMode
	duration time.Duration
	conns    int
	callers  int

	server    *Server
	listeners []net.Listener
	slots     []soakSlot
	over      chan struct{} // closed when the time is over

	calls, streams, messages, givenUp, cutOff, dialed, closed atomic.Int64

	leftMu sync.Mutex
	left   map[*Client]int // streams that may have been left while the server waits for more
	kept   int             // how many of them the server had at the end
}

// soakSlot is a place for a connection, which is replaced now and then.
type soakSlot struct {
	mu     sync.Mutex
	client *Client
	raw    net.Conn
}

func (s *soak) run() {
	t := s.t
	server, err := NewServer(WithServerLogger(discardLogger{}), WithServerCancellation(s.mode))
	if err != nil {
		t.Fatal(err)
	}
	s.server, s.over, s.left = server, make(chan struct{}), make(map[*Client]int)
	server.RegisterService(testService, echoMethods())
	served := make(chan error)
	for _, network := range []string{"local", "tcp", "mem"} {
		l := s.listen(network)
		s.listeners = append(s.listeners, l)
		go func() { served <- server.Serve(context.Background(), l) }()
	}
	s.slots = make([]soakSlot, s.conns)
	for i := range s.slots {
		s.slots[i].client, s.slots[i].raw = s.dial(i)
	}

	var wg sync.WaitGroup
	start := func(f func(*rand.Rand)) {
		seed := rand.Int63()
		wg.Add(1)
		go func() {
			defer wg.Done()
			f(rand.New(rand.NewSource(seed)))
		}()
	}
	for i := 0; i < s.callers; i++ {
		start(s.caller)
	}
	start(s.disconnect)
	time.Sleep(s.duration)
	close(s.over)
	wg.Wait()

	for i := range s.slots {
		waitNoStreams(t, s.slots[i].client)
	}
	serving := s.checkServer()
	for i := range s.slots {
		s.slots[i].client.Close()
	}
	ctx, cancel := context.WithTimeout(context.Background(), testTimeout)
	defer cancel()
	for i := range s.slots {
		if err := s.slots[i].client.UserOnCloseWait(ctx); err != nil {
			t.Error(err)
		}
	}
	if err := server.Shutdown(ctx); err != nil {
		t.Errorf("Shutdown: %v", err)
	}
	for range s.listeners {
		if err := <-served; err != ErrServerClosed {
			t.Errorf("Serve: got %v, want ErrServerClosed", err)
		}
	}
	server.mu.Lock()
	defer server.mu.Unlock()
	if len(server.conns) > 0 {
		t.Errorf("the server has %d connections left", len(server.conns))
	}
	for _, sc := range serving {
		waitFor(t, "the last handlers to return", func() bool { return sc.running.Load() == 0 })
	}
}

// checkServer checks the tables of the live connections when no caller is active: every
// stream in them has a running handler, which waits for a client that left the stream open.
// It returns the connections.
func (s *soak) checkServer() []*serverConn {
	t := s.t
	s.server.mu.Lock()
	conns := s.server.connsLocked()
	s.server.mu.Unlock()
	for _, sc := range conns {
		sc := sc
		waitFor(t, "the server's calls to end", func() bool {
			unary, streams, over := s.countServed(sc)
			return over || unary == 0 && streams == int(sc.running.Load())
		})
	}
	left := 0
	for i := range s.slots {
		left += s.left[s.slots[i].client]
	}
	s.left = nil // it holds all clients
	waitFor(t, "the server to have no more streams than its clients have left", func() bool {
		s.kept = 0
		for _, sc := range conns {
			_, streams, _ := s.countServed(sc)
			s.kept += streams
		}
		return s.kept <= left
	})
	return conns
}

// countServed counts the entries in the table of a server's connection.
func (s *soak) countServed(sc *serverConn) (unary, streams int, over bool) {
	c := sc.started()
	if c == nil {
		return 0, 0, true // it has not begun
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range c.streams {
		if e.(*stream).unary() {
			unary++
		}
	}
	return unary, len(c.streams), c.err != nil
}

func (s *soak) listen(network string) net.Listener {
	switch network {
	case "mem":
		return newMemListener(64 << 10)
	case "local":
		return listen(s.t)
	}
	l, err := net.Listen(network, "127.0.0.1:0")
	if err != nil {
		s.t.Fatal(err)
	}
	return l
}

// dial makes a connection of the kind that belongs to the slot's number: two of three are
// Unix sockets, some of them wrapped, and every fifth is without extensions.
func (s *soak) dial(slot int) (*Client, net.Conn) {
	var nc net.Conn
	switch l := s.listeners[0]; slot % 6 {
	case 4:
		nc = s.listeners[2].(*memListener).dial()
	case 5:
		l = s.listeners[1]
		fallthrough
	default:
		var err error
		if nc, err = net.Dial(l.Addr().Network(), l.Addr().String()); err != nil {
			s.t.Errorf("dial: %v", err)
			return NewClient(deadConn{}), deadConn{}
		}
	}
	if slot%6 == 3 {
		nc = struct{ net.Conn }{nc}
	}
	s.dialed.Add(1)
	return NewClient(nc, WithOnClose(func() { s.closed.Add(1) }), WithClientExtensions(slot%5 != 2)), nc
}

// deadConn stands for a connection that could not be made.
type deadConn struct{ net.Conn }

func (deadConn) Read([]byte) (int, error)  { return 0, io.EOF }
func (deadConn) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }
func (deadConn) Close() error              { return nil }

func (s *soak) isOver() bool {
	select {
	case <-s.over:
		return true
	default:
		return false
	}
}
