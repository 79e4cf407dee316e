package ttrpc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand"
	"net"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Races of earlier releases, over and over: see rounds. The numbers are those of the tables
// in conn_regression_test.go.

// together runs functions at once and waits for all of them.
func together(funcs ...func()) {
	var wg sync.WaitGroup
	start := make(chan struct{})
	for _, f := range funcs {
		wg.Add(1)
		go func(f func()) {
			defer wg.Done()
			<-start
			f()
		}(f)
	}
	close(start)
	wg.Wait()
}

// times makes n functions of one.
func times(n int, f func(i int)) []func() {
	funcs := make([]func(), n)
	for i := range funcs {
		i := i
		funcs[i] = func() { f(i) }
	}
	return funcs
}

// wireListener accepts wires.
type wireListener struct{ net.Listener }

func listenWire(t testing.TB) *wireListener { return &wireListener{listen(t)} }

// connect returns a client and its server's end.
func (l *wireListener) connect(t testing.TB, opts ...ClientOpts) (*Client, *wire) {
	t.Helper()
	nc, err := dialLocal(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	accepted, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	return NewClient(nc, opts...), newWire(accepted)
}

// Connections that come and go, in every way, leave the server's table (5, 11).
func TestRaceClosedConns(t *testing.T) {
	s, addr := newTestServer(t, echoMethods(), WithServerLogger(newLogRecorder()))
	const dialers = 4
	together(times(dialers, func(d int) {
		rnd := rand.New(rand.NewSource(int64(d)))
		for n := rounds(1000) / dialers; n >= 0; n-- {
			nc, err := dialLocal(addr)
			if err != nil {
				t.Error(err)
				return
			}
			switch rnd.Intn(5) {
			case 0: // nothing
			case 1: // a part of a frame
				nc.Write(make([]byte, 1+rnd.Intn(headerLength)))
			case 2: // no frame
				nc.Write([]byte("GET / HTTP/1.1\r\n\r\n"))
			case 3: // a call that is not waited for
				newWire(nc).request(1, "Echo", 0, &KeyValue{Value: "x"})
			case 4:
				c := NewClient(nc)
				if err := echo(context.Background(), c, "x"); err != nil {
					t.Error(err)
				}
				c.Close()
				continue
			}
			nc.Close()
		}
	})...)
	serverIdle(t, s)
}

// UserOnCloseWait returns after the callback, whoever closed (6).
func TestRaceOnClose(t *testing.T) {
	l := listenWire(t)
	for round := rounds(300); round > 0; round-- {
		calls := 0 // not atomic: the race detector looks at it
		c, w := l.connect(t, WithOnClose(func() {
			for i := 0; i < 100; i++ {
				runtime.Gosched() // for who does not wait for it
			}
			calls++
		}))
		together(
			func() { c.Close() },
			func() { w.Close() },
			func() {
				if err := echo(context.Background(), c, "x"); err != ErrClosed {
					t.Errorf("a call: got %v, want ErrClosed", err)
				}
			},
			func() {
				if err := c.UserOnCloseWait(context.Background()); err != nil || calls != 1 {
					t.Errorf("UserOnCloseWait: %v, the callback has run %d times", err, calls)
				}
			},
		)
	}
}

// Callers by the hundred with big messages fill both directions of a connection,
// and none waits for good (8). Here a round is a call.
func TestRaceFullBothWays(t *testing.T) {
	const callers = 512
	for name, listen := range map[string]func() (net.Listener, func() (net.Conn, error)){
		"unix": func() (net.Listener, func() (net.Conn, error)) {
			l := listen(t)
			return l, func() (net.Conn, error) { return dialLocal(l.Addr().String()) }
		},
		"pipe": func() (net.Listener, func() (net.Conn, error)) {
			l := newScriptedListener()
			return l, func() (net.Conn, error) {
				ours, theirs := net.Pipe()
				l.accepts <- theirs
				return ours, nil
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t)
			s.RegisterService(testService, echoMethods())
			l, dial := listen()
			served := goErr(func() error { return s.Serve(context.Background(), l) })
			nc, err := dial()
			if err != nil {
				t.Fatal(err)
			}
			c := NewClient(nc, WithClientLimits(Limits{MaxPendingWrite: 64 << 10}))
			value := strings.Repeat("x", 16<<10)
			var left atomic.Int64
			left.Store(int64(rounds(2 * callers)))
			done := make(chan struct{})
			go func() {
				defer close(done)
				together(times(callers, func(int) {
					for left.Add(-1) >= 0 {
						if err := echo(context.Background(), c, value); err != nil {
							t.Error(err)
							return
						}
					}
				})...)
			}()
			<-done // a deadlock is the end of the test binary's time
			c.Close()
			serverIdle(t, s)
			within(t, "Serve", served)
		})
	}
}

// Shutdown while connections come and calls are in flight: those that had begun
// succeed; what comes later is served, refused, or finds no server (12).
func TestRaceShutdown(t *testing.T) {
	for round := rounds(100); round > 0; round-- {
		g := newGate()
		s := newServer(t)
		s.RegisterService(testService, g.service())
		l := listen(t)
		served := goErr(func() error { return s.Serve(context.Background(), l) })
		dial := func() *Client {
			nc, err := dialLocal(l.Addr().String())
			if err != nil {
				return nil
			}
			return NewClient(nc)
		}
		busy := dial()
		inFlight := []<-chan error{g.call(t, busy), g.stream(t, busy)}
		call := func() {
			c := dial()
			if c == nil {
				return
			}
			for i := 0; i < 3; i++ {
				if err := echo(context.Background(), c, "x"); err != nil && err != ErrClosed && status.Code(err) != codes.Unavailable {
					t.Errorf("a call that came late: %v", err)
				}
			}
			c.Close()
		}
		together(call, call, call,
			func() {
				if err := s.Shutdown(context.Background()); err != nil {
					t.Errorf("Shutdown: %v", err)
				}
			},
			func() { close(g.proceed) },
		)
		for _, result := range inFlight {
			if err := within(t, "call", result); err != nil {
				t.Errorf("in flight: %v", err)
			}
		}
		if err := within(t, "Serve", served); err != ErrServerClosed {
			t.Errorf("Serve: %v", err)
		}
		busy.Close()
	}
}

// Close, of either side, while responses and messages flood in (13).
func TestRaceCloseDuringFlood(t *testing.T) {
	for round := rounds(60); round > 0; round-- {
		s := newServer(t)
		s.RegisterService(testService, echoMethods())
		l := listen(t)
		served := goErr(func() error { return s.Serve(context.Background(), l) })
		nc, err := dialLocal(l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		c := NewClient(nc)
		ends := []func(){func() { c.Close() }, func() { s.Close() }, func() { nc.Close() }}
		var flowed atomic.Int64
		flowing := make(chan struct{}) // closed when enough has flowed
		flow := func() {
			if flowed.Add(1) == 50 {
				close(flowing)
			}
		}
		funcs := times(8, func(i int) {
			for {
				if err := echo(context.Background(), c, "x"); err == ErrClosed {
					return
				} else if err != nil {
					t.Errorf("Call: got %v, want ErrClosed", err)
					return
				}
				flow()
			}
		})
		funcs = append(funcs, times(4, func(i int) {
			cs, err := c.NewStream(context.Background(), &StreamDesc{StreamingServer: true}, testService, "Repeat",
				&KeyValue{Value: strings.Repeat("x", 2000)})
			for ; err == nil; flow() {
				err = cs.RecvMsg(&KeyValue{})
			}
			if err != ErrClosed && err != io.EOF {
				t.Errorf("RecvMsg: got %v, want ErrClosed", err)
			}
		})...)
		funcs = append(funcs, times(2, func(i int) {
			cs, err := c.NewStream(context.Background(), &StreamDesc{StreamingClient: true, StreamingServer: true}, testService, "EchoStream", nil)
			for err == nil {
				err = cs.SendMsg(&KeyValue{Value: "x"})
				if err == nil {
					err = cs.RecvMsg(&KeyValue{})
				}
			}
			if err != ErrClosed {
				t.Errorf("stream: got %v, want ErrClosed", err)
			}
		})...)
		funcs = append(funcs, func() {
			select {
			case <-flowing:
			case <-time.After(testTimeout):
				t.Error("no flood")
			}
			ends[round%len(ends)]()
		})
		together(funcs...)
		c.Close()
		s.Close()
		if err := within(t, "Serve", served); err != ErrServerClosed {
			t.Errorf("Serve: %v", err)
		}
	}
}

// A response that comes together with the close of the connection is not lost, and
// calls without one get ErrClosed (14).
func TestRaceReplyThenClose(t *testing.T) {
	l := listenWire(t)
	payload := mustMarshal(&KeyValue{Value: "v"})
	for round := rounds(300); round > 0; round-- {
		c, w := l.connect(t)
		answered := 1 + round%3
		unanswered := round % 2
		var results []<-chan error
		var values []*KeyValue
		for i := 0; i < answered+unanswered; i++ {
			m := &KeyValue{}
			values = append(values, m)
			if i%2 == 0 {
				results = append(results, goErr(func() error {
					return c.Call(context.Background(), testService, "Echo", &KeyValue{}, m)
				}))
				w.readRequest() // one after another: the ids are 1, 3, 5
				continue
			}
			cs, err := c.NewStream(context.Background(), &StreamDesc{StreamingClient: true}, testService, "Join", nil)
			if err != nil {
				t.Fatal(err)
			}
			w.readRequest()
			results = append(results, goErr(func() error { return cs.RecvMsg(m) }))
		}
		var senders sync.WaitGroup
		for i := round / 2 % 3; i > 0; i-- { // their writes fail before the responses are read
			senders.Add(1)
			go func() {
				defer senders.Done()
				for {
					if err := echo(context.Background(), c, "x"); err != nil {
						if err != ErrClosed {
							t.Errorf("a call beside those: got %v, want ErrClosed", err)
						}
						return
					}
				}
			}()
		}
		for i := 0; i < answered; i++ {
			w.respond(streamID(2*i+1), &Response{Payload: payload})
		}
		w.Close()
		for i, result := range results {
			err := within(t, "call", result)
			if i < answered && (err != nil || values[i].Value != "v") {
				t.Fatalf("round %d, call %d: got %v, %v: the response is lost", round, i, values[i], err)
			}
			if i >= answered && err != ErrClosed {
				t.Fatalf("round %d, call %d without a response: got %v, want ErrClosed", round, i, err)
			}
		}
		senders.Wait()
		c.Close()
	}
}

// The server's response goes out before the connection is closed for it: by
// Shutdown, which waits for the call.
func TestRaceReplyThenShutdown(t *testing.T) {
	for round := rounds(60); round > 0; round-- {
		s := newServer(t)
		desc := echoMethods()
		down := make(chan error, 1)
		desc.Methods["Down"] = func(context.Context, func(any) error) (any, error) {
			go func() { down <- s.Shutdown(context.Background()) }()
			return &KeyValue{Value: strings.Repeat("x", round%3*100_000)}, nil
		}
		s.RegisterService(testService, desc)
		l := listen(t)
		served := goErr(func() error { return s.Serve(context.Background(), l) })
		nc, err := dialLocal(l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		c := NewClient(nc)
		if err := c.Call(context.Background(), testService, "Down", &KeyValue{}, &KeyValue{}); err != nil {
			t.Errorf("the call that shuts down: %v", err)
		}
		if err := within(t, "Shutdown", down); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
		within(t, "Serve", served)
		c.Close()
	}
}

// After Close every call and stream says ErrClosed, never that a context was
// canceled (15).
func TestRaceCloseIsErrClosed(t *testing.T) {
	l := listenWire(t)
	for round := rounds(200); round > 0; round-- {
		c, w := l.connect(t)
		ctx, cancel := context.WithCancel(context.Background())
		server, err := c.NewStream(ctx, &StreamDesc{StreamingServer: true}, testService, "Repeat", &KeyValue{})
		if err != nil {
			t.Fatal(err)
		}
		client, err := c.NewStream(ctx, &StreamDesc{StreamingClient: true}, testService, "Join", nil)
		if err != nil {
			t.Fatal(err)
		}
		want := func(what string, err error) {
			if err != ErrClosed {
				t.Errorf("%s: got %v, want ErrClosed", what, err)
			}
		}
		together(
			func() { want("Call", echo(ctx, c, "x")) },
			func() { want("Call without a context", echo(context.Background(), c, "x")) },
			func() { want("RecvMsg", server.RecvMsg(&KeyValue{})) },
			func() {
				var err error
				for err == nil {
					err = client.SendMsg(&KeyValue{Value: "x"})
				}
				want("SendMsg", err)
			},
			func() { io.Copy(io.Discard, w) },
			func() { c.Close() },
		)
		want("CloseSend afterwards", client.CloseSend())
		want("RecvMsg afterwards", client.RecvMsg(&KeyValue{}))
		_, err = c.NewStream(ctx, &StreamDesc{StreamingServer: true}, testService, "Repeat", &KeyValue{})
		want("NewStream afterwards", err)
		cancel()
		w.Close()
	}
}

// Calls and streams by many goroutines, some given up: the ids on the wire are odd
// and rise, and nobody blocks for good (18). A round is a call.
func TestRaceIDsRise(t *testing.T) {
	c, w := listenWire(t).connect(t, WithClientLimits(Limits{MaxPendingWrite: 1000}))
	answer := mustMarshal(&Response{Payload: mustMarshal(&KeyValue{Key: "k", Value: "x"})})
	read := goErr(func() error {
		defer w.Close() // nobody waits for the answers of one that has failed
		last := streamID(0)
		for {
			f, err := w.tryRead()
			if err != nil {
				return nil // the client has closed
			}
			if f.typ != messageTypeRequest {
				continue
			}
			if f.id <= last || !f.id.isClient() {
				return fmt.Errorf("id %d after %d", f.id, last)
			}
			last = f.id
			if err := w.tryWrite(header{id: f.id, typ: messageTypeResponse}, answer); err != nil {
				return nil
			}
		}
	})
	const callers = 32
	together(times(callers, func(i int) {
		rnd := rand.New(rand.NewSource(int64(i)))
		for n := rounds(2000) / callers; n >= 0; n-- {
			ctx, cancel := context.WithCancel(context.Background())
			switch rnd.Intn(4) {
			case 0:
				go cancel()
				if err := echo(ctx, c, "x"); err != nil && err != context.Canceled {
					t.Errorf("Call: %v", err)
				}
			case 1:
				cs, err := c.NewStream(ctx, &StreamDesc{StreamingClient: true, StreamingServer: true}, testService, "EchoStream", &KeyValue{})
				if err != nil {
					t.Errorf("NewStream: %v", err)
					break
				}
				if err := cs.SendMsg(&KeyValue{Value: strings.Repeat("x", rnd.Intn(500))}); err != nil && err != io.EOF {
					t.Errorf("SendMsg: %v", err)
				}
				if err := cs.RecvMsg(&KeyValue{}); err != nil {
					t.Errorf("RecvMsg: %v", err)
				}
			default:
				if err := echo(ctx, c, "x"); err != nil {
					t.Errorf("Call: %v", err)
				}
			}
			cancel()
		}
	})...)
	if n := tableSize(c.conn); n != 0 {
		t.Errorf("%d streams are left", n)
	}
	c.Close()
	if err := within(t, "reader", read); err != nil {
		t.Error(err)
	}
}

// An id is given and its request queued in one step: nobody who has conn.mu finds
// the one without the other (18).
func TestIDWithRequest(t *testing.T) {
	c, w := listenWire(t).connect(t)
	defer c.Close()
	go io.Copy(io.Discard, w)
	yield := func() {
		for i := 0; i < 100; i++ {
			runtime.Gosched()
		}
	}
	for round := 0; round < 20; round++ {
		var opened []<-chan error
		c.conn.mu.Lock()
		for i := 0; i < 4; i++ {
			opened = append(opened, goErr(func() error {
				_, err := c.NewStream(context.Background(), &StreamDesc{StreamingServer: true}, testService, "S", &KeyValue{})
				return err
			}))
		}
		yield() // until they wait for an id
		before := c.conn.lastID
		c.conn.ch.w.mu.Lock() // nothing is queued
		c.conn.mu.Unlock()
		for i := 0; i < 20; i++ {
			yield()
			if c.conn.mu.TryLock() {
				if id := c.conn.lastID; id != before {
					t.Errorf("id %d is given, and its request is not queued", id)
				}
				c.conn.mu.Unlock()
			}
		}
		c.conn.ch.w.mu.Unlock()
		for _, result := range opened {
			if err := within(t, "NewStream", result); err != nil {
				t.Error(err)
			}
		}
	}
}

// Calls and streams of every kind and end leave the tables of both sides, while the
// connection goes on (8 and 10; 8 of those open upstream). A round is a call.
func TestRaceTables(t *testing.T) {
	desc := echoMethods()
	desc.Streams["ReturnAtOnce"] = Stream{StreamingClient: true, StreamingServer: true, Handler: func(context.Context, StreamServer) (any, error) {
		return nil, nil
	}}
	desc.Streams["FailAtOnce"] = Stream{StreamingClient: true, StreamingServer: true, Handler: func(context.Context, StreamServer) (any, error) {
		return nil, status.Error(codes.DataLoss, "at once")
	}}
	s, addr := newTestServer(t, desc)
	c := dialTest(t, addr)
	both := &StreamDesc{StreamingClient: true, StreamingServer: true}
	const callers = 8
	together(times(callers, func(i int) {
		rnd := rand.New(rand.NewSource(int64(i)))
		for n := rounds(1000) / callers; n >= 0; n-- {
			ctx, cancel := context.WithCancel(context.Background())
			method := []string{"Echo", "Fail", "NoMethod", "ReturnAtOnce", "FailAtOnce", "NoStream", "EchoStream"}[rnd.Intn(7)]
			if !strings.HasSuffix(method, "AtOnce") && !strings.HasSuffix(method, "Stream") {
				if rnd.Intn(4) == 0 {
					go cancel()
				}
				c.Call(ctx, testService, method, &KeyValue{}, &KeyValue{})
				cancel()
				continue
			}
			cs, err := c.NewStream(ctx, both, testService, method, nil)
			if err != nil {
				t.Errorf("NewStream: %v", err)
				cancel()
				return
			}
			for i := rnd.Intn(3); i > 0; i-- {
				if err := cs.SendMsg(&KeyValue{Value: "x"}); err != nil && err != io.EOF {
					t.Errorf("%s: SendMsg: %v", method, err)
				}
			}
			if err := cs.CloseSend(); err != nil && err != io.EOF {
				t.Errorf("%s: CloseSend: %v", method, err)
			}
			if rnd.Intn(4) == 0 {
				go cancel() // the handler ends by itself
			}
			for err == nil {
				err = cs.RecvMsg(&KeyValue{})
			}
			cancel()
		}
	})...)
	waitFor(t, "an empty table of the client", func() bool { return tableSize(c.conn) == 0 })
	waitFor(t, "empty tables of the server", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, sc := range s.connsLocked() {
			if tableSize(sc.conn) != 0 {
				return false
			}
		}
		return true
	})
	if err := echo(testContext(t), c, "x"); err != nil {
		t.Errorf("the connection: %v", err)
	}
}

// SendMsg against CloseSend and the other methods of a stream: each message goes
// out before the end of sending, or is refused (9 of those open upstream).
func TestRaceSendAgainstCloseSend(t *testing.T) {
	c, w := listenWire(t).connect(t)
	defer c.Close()
	for round := rounds(200); round > 0; round-- {
		cs, err := c.NewStream(context.Background(), &StreamDesc{StreamingClient: true, StreamingServer: true}, testService, "S", nil)
		if err != nil {
			t.Fatal(err)
		}
		h, _ := w.readRequest()
		var sent atomic.Int64
		send := func(int) {
			for i := 0; i < 5; i++ {
				switch err := cs.SendMsg(&KeyValue{Value: "x"}); err {
				case nil:
					sent.Add(1)
				case ErrStreamClosed:
				default:
					t.Errorf("SendMsg: %v", err)
				}
			}
		}
		together(append(times(3, send),
			func() {
				if err := cs.CloseSend(); err != nil {
					t.Errorf("CloseSend: %v", err)
				}
			},
			func() {
				if err := cs.RecvMsg(&KeyValue{}); err != nil {
					t.Errorf("RecvMsg: %v", err)
				}
			},
			func() { w.data(h.id, 0, &KeyValue{Value: "x"}) },
		)...)
		received := int64(0)
		for {
			f := w.read()
			if f.id != h.id || f.typ != messageTypeData {
				t.Fatalf("got %v on stream %d", f.header, h.id)
			}
			if f.flags.has(flagRemoteClosed) {
				break
			}
			received++
		}
		if received != sent.Load() {
			t.Fatalf("%d messages were sent, %d came before the end", sent.Load(), received)
		}
		w.respond(h.id, &Response{}) // a frame after the end would be the next that is read
		for err == nil {
			err = cs.RecvMsg(&KeyValue{})
		}
	}
}

// Goroutines of a handler that send while it returns: nothing is sent on a stream
// after its last frame.
func TestRaceSendAgainstReturn(t *testing.T) {
	var senders sync.WaitGroup
	defer senders.Wait()
	_, addr := newTestServer(t, &ServiceDesc{Streams: map[string]Stream{"S": {StreamingClient: true, StreamingServer: true,
		Handler: func(_ context.Context, ss StreamServer) (any, error) {
			for i := 0; i < 3; i++ {
				senders.Add(1)
				go func() {
					defer senders.Done()
					for i := 0; i < 100; i++ {
						if err := ss.SendMsg(&KeyValue{Value: "x"}); err != nil {
							return
						}
					}
				}()
			}
			return nil, ss.SendMsg(&KeyValue{Value: "x"})
		}}}})
	w := dialWire(t, addr)
	id := streamID(1)
	for round := rounds(200); round > 0; round-- {
		w.request(id, "S", flagRemoteOpen|flagNoData, nil)
		for {
			f := w.read()
			if f.id != id {
				t.Fatalf("%v after the last frame of that stream", f.header)
			}
			if f.typ == messageTypeResponse || f.flags.has(flagRemoteClosed) {
				break
			}
		}
		id += 2
	}
	w.Close()
}

// A stream that ends with an error just when its context does: it says one or the
// other, and never that all is well.
func TestRaceCancelAgainstEnd(t *testing.T) {
	c, w := listenWire(t).connect(t)
	defer c.Close()
	for round := rounds(500); round > 0; round-- {
		ctx, cancel := context.WithCancel(context.Background())
		cs, err := c.NewStream(ctx, &StreamDesc{StreamingServer: true}, testService, "S", &KeyValue{})
		if err != nil {
			t.Fatal(err)
		}
		h, _ := w.readRequest()
		together(cancel, func() {
			w.data(h.id, 0, &KeyValue{Value: "x"})
			w.respond(h.id, &Response{Status: newStatus(codes.DataLoss, "x")})
		}, func() {
			var err error
			for err == nil {
				err = cs.RecvMsg(&KeyValue{})
			}
			if !errors.Is(err, context.Canceled) && status.Code(err) != codes.DataLoss {
				t.Errorf("the stream ended with %v", err)
			}
		})
	}
	waitFor(t, "an empty table", func() bool { return tableSize(c.conn) == 0 })
}
