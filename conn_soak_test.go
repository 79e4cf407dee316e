package ttrpc

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
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

type discardLogger struct{}

func (discardLogger) Printf(string, ...any) {}

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

// pause waits for d or the end.
func (s *soak) pause(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-s.over:
	}
}

// disconnect replaces connections. It closes some of them, at once or after their last
// call, and breaks others.
func (s *soak) disconnect(r *rand.Rand) {
	for {
		s.pause(time.Duration(r.Intn(100)) * time.Millisecond)
		if s.isOver() {
			return
		}
		i := r.Intn(len(s.slots))
		slot := &s.slots[i]
		slot.mu.Lock()
		old, raw := slot.client, slot.raw
		slot.client, slot.raw = s.dial(i)
		slot.mu.Unlock()
		switch r.Intn(3) {
		case 0:
			old.Close()
		case 1:
			raw.Close()
		case 2:
			s.waitIdle(old) // its callers end, and no others come
			old.Close()
		}
		ctx, cancel := context.WithTimeout(context.Background(), testTimeout)
		if err := old.UserOnCloseWait(ctx); err != nil {
			s.t.Errorf("a connection was closed and UserOnCloseWait returned %v", err)
		}
		cancel()
	}
}

// soakPatience is the time that a call without a deadline may take on a busy machine with
// thousands of other calls.
const soakPatience = 3 * time.Minute

// waitIdle waits until the client has no streams.
func (s *soak) waitIdle(c *Client) {
	for start := time.Now(); ; s.pause(time.Millisecond) {
		n, err := tableOf(c.conn)
		if n == 0 || err != nil {
			return
		}
		if time.Since(start) > soakPatience {
			s.t.Errorf("%d streams are left of callers that have gone elsewhere", n)
			return
		}
	}
}

// caller is the loop of one of thousands of callers.
func (s *soak) caller(r *rand.Rand) {
	for !s.isOver() {
		slot := &s.slots[r.Intn(len(s.slots))]
		slot.mu.Lock()
		c := slot.client
		slot.mu.Unlock()
		ctx, cancel, ends := s.context(r)
		what, err := s.do(ctx, c, r)
		cancel()
		s.check(ends, c, what, err)
	}
}

// context returns a context of a caller, and whether it ends by itself.
func (s *soak) context(r *rand.Rand) (ctx context.Context, cancel func(), ends bool) {
	after := time.Duration(r.Intn(20_000)) * time.Microsecond
	switch r.Intn(4) {
	case 0:
		ctx, cancel := context.WithTimeout(context.Background(), after)
		return ctx, cancel, true
	case 1:
		ctx, cancel := context.WithCancel(context.Background())
		timer := time.AfterFunc(after, cancel)
		return ctx, func() { timer.Stop(); cancel() }, true
	}
	ctx, cancel = context.WithCancel(context.Background())
	return ctx, cancel, false
}

// check reports errors that have no cause.
func (s *soak) check(ends bool, c *Client, what string, err error) {
	switch {
	case err == nil:
	case ends && (errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) ||
		status.Code(err) == codes.DeadlineExceeded || status.Code(err) == codes.Canceled):
		s.givenUp.Add(1)
		if what == "EchoStream" || what == "Join" {
			s.leave(c)
		}
	case err == ErrClosed:
		s.cutOff.Add(1)
		ctx, cancel := context.WithTimeout(context.Background(), testTimeout)
		defer cancel()
		if err := c.UserOnCloseWait(ctx); err != nil {
			s.t.Errorf("%s returned ErrClosed, and the connection is there: %v", what, err)
		}
	default:
		s.t.Errorf("%s: %v", what, err)
	}
}

// leave records that a stream may have been left open.
func (s *soak) leave(c *Client) {
	s.leftMu.Lock()
	defer s.leftMu.Unlock()
	s.left[c]++
}

// value returns a random value, usually a small one.
func (s *soak) value(r *rand.Rand) string {
	n := r.Intn(300)
	switch r.Intn(200) {
	case 0:
		n = r.Intn(1 << 20)
	case 1, 2, 3, 4, 5, 6, 7, 8, 9:
		n = r.Intn(64 << 10)
	}
	mark := fmt.Sprintf("%016x", r.Uint64())
	return strings.Repeat(mark, n/16+1)[:n]
}

func (s *soak) do(ctx context.Context, c *Client, r *rand.Rand) (what string, err error) {
	switch r.Intn(20) {
	default:
		s.calls.Add(1)
		return "Echo", echo(ctx, c, s.value(r))
	case 0:
		s.calls.Add(1)
		err := c.Call(ctx, testService, "Fail", &KeyValue{}, &KeyValue{})
		if status.Code(err) == codes.AlreadyExists {
			err = nil
		}
		return "Fail", err
	case 1:
		s.calls.Add(1)
		err := c.Call(ctx, testService, "NoMethod", &KeyValue{}, &KeyValue{})
		if status.Code(err) == codes.Unimplemented {
			err = nil
		}
		return "NoMethod", err
	case 2:
		s.calls.Add(1)
		ctx, cancel := context.WithTimeout(ctx, time.Millisecond)
		defer cancel()
		err := c.Call(ctx, testService, "Block", &KeyValue{}, &KeyValue{})
		if errors.Is(err, context.DeadlineExceeded) || status.Code(err) == codes.DeadlineExceeded {
			err = nil
		}
		return "Block", err
	case 3, 4:
		return "EchoStream", s.echoStream(ctx, c, r)
	case 5:
		return "Repeat", s.repeat(ctx, c, r)
	case 6:
		return "Join", s.join(ctx, c, r)
	}
}

// echoStream sends and receives in turn, and sometimes leaves early.
func (s *soak) echoStream(ctx context.Context, c *Client, r *rand.Rand) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s.streams.Add(1)
	cs, err := c.NewStream(ctx, &StreamDesc{StreamingClient: true, StreamingServer: true}, testService, "EchoStream", nil)
	if err != nil {
		return err
	}
	for n := r.Intn(20); n > 0; n-- {
		want := s.value(r)
		if err := cs.SendMsg(&KeyValue{Value: want}); err != nil && err != io.EOF {
			return err
		}
		var m KeyValue
		if err := cs.RecvMsg(&m); err != nil {
			return err
		}
		if m.Value != want {
			return errors.New("the message is not what was sent")
		}
		s.messages.Add(1)
		if r.Intn(50) == 0 {
			s.leave(c)
			return nil // with a stream that is open
		}
	}
	if err := cs.CloseSend(); err != nil {
		return err
	}
	return wantEOF(cs.RecvMsg(&KeyValue{}))
}

// repeat reads a stream slowly.
func (s *soak) repeat(ctx context.Context, c *Client, r *rand.Rand) error {
	s.streams.Add(1)
	want := strings.Repeat("r", r.Intn(200))
	cs, err := c.NewStream(ctx, &StreamDesc{StreamingServer: true}, testService, "Repeat", &KeyValue{Value: want})
	if err != nil {
		return err
	}
	for range want {
		var m KeyValue
		if err := cs.RecvMsg(&m); err != nil {
			return err
		}
		if m.Value != want {
			return errors.New("the message is not the one that is repeated")
		}
		s.messages.Add(1)
		if r.Intn(100) == 0 {
			s.pause(time.Duration(r.Intn(2000)) * time.Microsecond)
		}
	}
	return wantEOF(cs.RecvMsg(&KeyValue{}))
}

// wantEOF checks the error after the last message.
func wantEOF(err error) error {
	switch err {
	case io.EOF:
		return nil
	case nil:
		return errors.New("there is a message after the last")
	}
	return err
}

// join sends messages and checks their sum.
func (s *soak) join(ctx context.Context, c *Client, r *rand.Rand) error {
	s.streams.Add(1)
	cs, err := c.NewStream(ctx, &StreamDesc{StreamingClient: true}, testService, "Join", nil)
	if err != nil {
		return err
	}
	var want strings.Builder
	for n := r.Intn(50); n > 0; n-- {
		value := fmt.Sprint(r.Uint32())
		want.WriteString(value)
		if err := cs.SendMsg(&KeyValue{Value: value}); err == io.EOF {
			break // RecvMsg tells why
		} else if err != nil {
			return err
		}
		s.messages.Add(1)
	}
	if err := cs.CloseSend(); err != nil {
		return err
	}
	var m KeyValue
	if err := cs.RecvMsg(&m); err != nil {
		return err
	}
	if m.Value != want.String() {
		return errors.New("the sum is not of what was sent")
	}
	return nil
}
