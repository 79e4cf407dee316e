package ttrpc

import (
	"context"
	"math/rand"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// In these tests programs close clients in all the places where they may.

// The OnClose callback may use and close its own client: everything returns ErrClosed.
func TestLifecycleCloseInCallback(t *testing.T) {
	ctx := testContext(t)
	_, addr := newTestServer(t, echoMethods())
	made := make(chan *Client, 1)
	errs := make(chan error, 4)
	c := dialTest(t, addr, WithOnClose(func() {
		c := <-made
		errs <- c.Close()
		errs <- echo(ctx, c, "late")
		_, err := c.NewStream(ctx, &StreamDesc{StreamingClient: true}, testService, "Join", nil)
		errs <- err
		errs <- c.Close()
	}))
	made <- c
	if err := echo(ctx, c, "before"); err != nil {
		t.Fatal(err)
	}
	c.Close()
	if err := c.UserOnCloseWait(ctx); err != nil {
		t.Fatal(err)
	}
	for _, want := range []error{nil, ErrClosed, ErrClosed, nil} {
		if err := <-errs; err != want {
			t.Errorf("in the callback: got %v, want %v", err, want)
		}
	}
}

// slowToClose is a connection whose Close waits, as the Close of TLS may wait for the peer.
type slowToClose struct {
	net.Conn
	n            atomic.Int32 // how often it was closed
	closed, goOn chan struct{}
}

func (c *slowToClose) Close() error {
	if c.n.Add(1) == 1 {
		close(c.closed)
	}
	<-c.goOn
	return c.Conn.Close()
}

// A connection whose Close waits holds up each goroutine that closes it, and the callback,
// for a tenth of a second.
func TestLifecycleSlowToClose(t *testing.T) {
	goOn := make(chan struct{})
	defer close(goOn)
	pipe := func() (theirs net.Conn, ours *slowToClose) {
		near, far := net.Pipe()
		t.Cleanup(func() { near.Close() })
		return near, &slowToClose{Conn: far, closed: make(chan struct{}), goOn: goOn}
	}
	_, nc := pipe()
	c := NewClient(nc)
	called := goErr(func() error { return echo(context.Background(), c, "x") })
	waitFor(t, "a write, which waits", func() bool {
		c.conn.ch.w.mu.Lock()
		defer c.conn.ch.w.mu.Unlock()
		return c.conn.ch.w.flushing
	})
	within(t, "Client.Close", goErr(c.Close))
	if err := within(t, "the call", called); err != ErrClosed {
		t.Errorf("the call: got %v, want ErrClosed", err)
	}
	if err := c.UserOnCloseWait(testContext(t)); err != nil {
		t.Errorf("UserOnCloseWait: %v", err)
	}
	within(t, "Close of the connection", nc.closed)

	for name, end := range map[string]func(*Server) error{
		"Close":    (*Server).Close,
		"Shutdown": func(s *Server) error { return s.Shutdown(testContext(t)) },
	} {
		s := newServer(t, nil)
		var conns []*slowToClose
		for i := 0; i < 30; i++ {
			_, nc := pipe()
			conns = append(conns, nc)
			s.startConn(s.newServing(context.Background()), nc)
		}
		waitFor(t, "connections that are started", func() bool {
			s.mu.Lock()
			defer s.mu.Unlock()
			for sc := range s.conns {
				if sc.conn == nil {
					return false
				}
			}
			return true
		})
		start := time.Now()
		if err := within(t, name, goErr(func() error { return end(s) })); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if d := time.Since(start); d > 2*time.Second {
			t.Errorf("%s took %v", name, d)
		}
		for _, nc := range conns {
			within(t, name+" of the connection", nc.closed)
		}
	}

	// The same with sockets that a handshaker has put into such connections.
	s := newServer(t, nil, WithServerHandshaker(handshakeFunc(func(_ context.Context, nc net.Conn) (net.Conn, any, error) {
		return &slowToClose{Conn: nc, closed: make(chan struct{}), goOn: goOn}, nil, nil
	})))
	l := listen(t)
	go s.Serve(context.Background(), l)
	const many = 30
	for i := 0; i < many; i++ {
		dialRaw(t, l.Addr().String())
	}
	waitFor(t, "connections that are started", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		started := 0
		for sc := range s.conns {
			if sc.conn != nil {
				started++
			}
		}
		return started == many
	})
	start := time.Now()
	s.Close()
	if d := time.Since(start); d > 2*time.Second {
		t.Errorf("Close of replaced connections took %v", d)
	}

	time.Sleep(2 * lingerLimit)
	if n := nc.n.Load(); n != 1 {
		t.Errorf("the client closed its connection %d times", n)
	}
}

// countsClose is a connection that counts its calls of Close.
type countsClose struct {
	net.Conn
	n atomic.Int32
}

func (c *countsClose) Close() error {
	c.n.Add(1)
	return c.Conn.Close()
}

// When Close or Shutdown returns, or the callback runs, a connection of any kind is closed:
// a multiplexer may give its number to the next one.
func TestLifecycleClosedInTime(t *testing.T) {
	for i := 0; i < 20; i++ {
		near, far := net.Pipe()
		defer near.Close()
		nc := &countsClose{Conn: far}
		inCallback := make(chan int32, 1)
		c := NewClient(nc, WithOnClose(func() { inCallback <- nc.n.Load() }))
		c.Close()
		if n := nc.n.Load(); n != 1 {
			t.Errorf("after Client.Close: closed %d times", n)
		}
		if n := within(t, "OnClose", inCallback); n != 1 {
			t.Errorf("in OnClose: closed %d times", n)
		}
		for name, end := range map[string]func(*Server) error{
			"Close":    (*Server).Close,
			"Shutdown": func(s *Server) error { return s.Shutdown(testContext(t)) },
		} {
			near, far := net.Pipe()
			defer near.Close()
			nc := &countsClose{Conn: far}
			s := newServer(t, nil)
			s.startConn(s.newServing(context.Background()), nc)
			if err := end(s); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if nc.n.Load() == 0 {
				t.Errorf("after %s: not closed", name)
			}
		}
	}
}

// A program calls Close under a lock that the callback takes.
func TestLifecycleCloseUnderLock(t *testing.T) {
	_, addr := newTestServer(t, echoMethods())
	var mu sync.Mutex
	c := dialTest(t, addr, WithOnClose(func() {
		mu.Lock()
		defer mu.Unlock()
	}))
	mu.Lock()
	c.Close()
	mu.Unlock()
	if err := c.UserOnCloseWait(testContext(t)); err != nil {
		t.Error(err)
	}
}

// UserOnCloseWait waits for the end of the callback, until its context ends.
func TestLifecycleUserOnCloseWait(t *testing.T) {
	_, addr := newTestServer(t, echoMethods())
	called, release := make(chan struct{}), make(chan struct{})
	var returned atomic.Bool
	c := dialTest(t, addr, WithOnClose(func() {
		close(called)
		<-release
		returned.Store(true)
	}))
	over, cancel := context.WithCancel(context.Background())
	cancel()
	if err := c.UserOnCloseWait(over); err != context.Canceled {
		t.Errorf("while the client is open: got %v, want Canceled", err)
	}
	var wg sync.WaitGroup
	for i := 0; i < 10; i++ {
		wg.Add(1)
		go func() {
			defer wg.Done()
			if err := c.UserOnCloseWait(testContext(t)); err != nil || !returned.Load() {
				t.Errorf("got %v, the callback has returned: %v", err, returned.Load())
			}
		}()
	}
	c.Close()
	<-called
	if err := c.UserOnCloseWait(over); err != context.Canceled {
		t.Errorf("while the callback runs: got %v, want Canceled", err)
	}
	close(release)
	wg.Wait()

	without := dialTest(t, addr)
	without.Close()
	if err := without.UserOnCloseWait(testContext(t)); err != nil {
		t.Errorf("without a callback: %v", err)
	}
	if err := (&Client{}).UserOnCloseWait(testContext(t)); err != nil {
		t.Errorf("of a zero client: %v", err)
	}
}

// A handler closes the client that calls it, or the server that runs it.
func TestLifecycleCloseInHandler(t *testing.T) {
	for name, end := range map[string]func(*Client, *Server){
		"client": func(c *Client, _ *Server) { c.Close() },
		"server": func(_ *Client, s *Server) { s.Close() },
	} {
		end := end
		t.Run(name, func(t *testing.T) {
			ctx := testContext(t)
			var c *Client
			var s *Server
			desc := echoMethods()
			ended := make(chan error, 1)
			desc.Methods["End"] = func(ctx context.Context, _ func(any) error) (any, error) {
				end(c, s)
				<-ctx.Done()
				ended <- ctx.Err()
				return &KeyValue{}, nil
			}
			c, s = newTestPair(t, desc)
			if err := echo(ctx, c, "the first call, which no read loop runs"); err != nil {
				t.Fatal(err)
			}
			makeQuick(t, s, "End") // the read loop runs it
			if err := c.Call(ctx, testService, "End", &KeyValue{}, &KeyValue{}); err != ErrClosed {
				t.Errorf("the call: got %v, want ErrClosed", err)
			}
			if err := <-ended; err != context.Canceled {
				t.Errorf("the handler's context: got %v, want Canceled", err)
			}
			if err := c.UserOnCloseWait(ctx); err != nil {
				t.Error(err)
			}
		})
	}
}

// makeQuick makes the server believe that a method's handler is quick.
func makeQuick(t *testing.T, s *Server, name string) {
	t.Helper()
	m, _ := s.services.Load().find([]byte(testService), []byte(name))
	if m == nil {
		t.Fatalf("there is no method %s", name)
	}
	m.cost.average.Store(1)
	m.inline.length.Store(0)
	m.inline.uses.Store(0)
	if !m.cost.below(quickHandler) {
		t.Fatal("the method is not quick")
	}
}

// Close is called twice at the same time, in the middle of calls and streams, while the
// server goes away. All calls return, and the callback runs once.
func TestRaceClientClose(t *testing.T) {
	_, addr := newTestServer(t, echoMethods())
	for round := 0; round < rounds(200); round++ {
		random := rand.New(rand.NewSource(int64(round)))
		ctx, cancel := context.WithTimeout(context.Background(), testTimeout)
		var callbacks atomic.Int64
		c := dialTest(t, addr, WithOnClose(func() { callbacks.Add(1) }))
		var wg sync.WaitGroup
		start := make(chan struct{})
		race := func(f func() error) {
			yields := random.Intn(50)
			wg.Add(1)
			go func() {
				defer wg.Done()
				<-start
				for i := 0; i < yields; i++ {
					runtime.Gosched()
				}
				if err := f(); err != nil && err != ErrClosed {
					t.Error(err)
				}
			}()
		}
		for i := 0; i < 10; i++ {
			race(func() error { return echo(ctx, c, "x") })
			race(func() error {
				cs, err := c.NewStream(ctx, &StreamDesc{StreamingClient: true, StreamingServer: true}, testService, "EchoStream", nil)
				for err == nil {
					if err = cs.SendMsg(&KeyValue{}); err == nil {
						err = cs.RecvMsg(&KeyValue{})
					}
				}
				return err
			})
		}
		race(func() error { return c.Call(ctx, testService, "Block", &KeyValue{}, &KeyValue{}) })
		race(c.Close)
		race(c.Close)
		if random.Intn(2) == 0 {
			race(func() error { c.conn.ch.conn.Close(); return nil }) // as if the peer had gone
		}
		close(start)
		wg.Wait()
		if err := c.UserOnCloseWait(ctx); err != nil {
			t.Fatal(err)
		}
		if n := callbacks.Load(); n != 1 {
			t.Fatalf("the callback was called %d times", n)
		}
		if n := tableSize(c.conn); n != 0 {
			t.Fatalf("%d streams are left", n)
		}
		cancel()
	}
}

// soon is the time that an immediate answer may take on a busy machine, in the best of
// several attempts.
const soon = 30 * time.Millisecond
