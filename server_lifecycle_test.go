package ttrpc

import (
	"context"
	"errors"
	"io"
	"math/rand"
	"net"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Servers that stop while they are busy.

// Shutdown lets every call end that has started, thousands of them, and refuses
// every other one.
func TestLifecycleShutdownWaits(t *testing.T) {
	const conns, callers = 10, 200 // each
	for _, n := range lifecycleNets {
		n := n
		t.Run(n.name, func(t *testing.T) {
			ctx := testContext(t)
			var ids callIDs
			release := make(chan struct{})
			desc := echoMethods()
			desc.Methods["Wait"] = func(_ context.Context, unmarshal func(any) error) (any, error) {
				var m KeyValue
				if err := unmarshal(&m); err != nil {
					return nil, err
				}
				ids.start(m.Value)
				<-release
				return &m, nil
			}
			s, clients := startLifecycle(t, desc, n.listen, conns)
			var wg sync.WaitGroup
			for i := 0; i < conns*callers; i++ {
				c, id := clients[i%conns], strconv.Itoa(i)
				wg.Add(1)
				go func() {
					defer wg.Done()
					var resp KeyValue
					if err := c.Call(ctx, testService, "Wait", &KeyValue{Value: id}, &resp); err != nil || resp.Value != id {
						t.Errorf("call %s, which was running: got %q, %v", id, resp.Value, err)
					}
				}()
			}
			waitFor(t, "the handlers to start", func() bool { return ids.count() == conns*callers })

			done := make(chan error, 1)
			go func() { done <- s.Shutdown(ctx) }()
			<-s.stopped
			for i, c := range clients {
				waitFor(t, "new calls to be refused", func() bool {
					err := echo(ctx, c, "new")
					if err != nil && status.Code(err) != codes.Unavailable {
						t.Errorf("a new call on connection %d: got %v, want Unavailable", i, err)
					}
					return err != nil
				})
			}
			select {
			case err := <-done:
				t.Errorf("Shutdown returned while calls run: %v", err)
			default:
			}
			close(release)
			wg.Wait()
			if err := <-done; err != nil {
				t.Errorf("Shutdown: %v", err)
			}
			for i, c := range clients {
				if err := echo(ctx, c, "late"); err != ErrClosed {
					t.Errorf("a call on connection %d after Shutdown: got %v, want ErrClosed", i, err)
				}
			}
		})
	}
}

// Shutdown in the middle of a flood of calls and streams: a call whose handler
// has started succeeds, and no call waits for ever.
func TestLifecycleShutdownLosesNone(t *testing.T) {
	const conns, callers = 5, 50 // each
	for _, n := range lifecycleNets {
		n := n
		t.Run(n.name, func(t *testing.T) {
			for round := 0; round < rounds(3); round++ {
				shutdownFlood(t, n.listen, conns, callers)
			}
		})
	}
}

func shutdownFlood(t *testing.T, listen func(*testing.T) (net.Listener, func() (net.Conn, error)), conns, callers int) {
	ctx, cancel := context.WithTimeout(context.Background(), testTimeout)
	defer cancel()
	var ids callIDs
	desc := echoMethods()
	desc.Methods["Work"] = func(_ context.Context, unmarshal func(any) error) (any, error) {
		var m KeyValue
		if err := unmarshal(&m); err != nil {
			return nil, err
		}
		ids.start(m.Value)
		runtime.Gosched()
		return &m, nil
	}
	desc.Streams["WorkStream"] = Stream{StreamingClient: true, StreamingServer: true,
		Handler: func(_ context.Context, ss StreamServer) (any, error) {
			for {
				var m KeyValue
				if err := ss.RecvMsg(&m); err == io.EOF {
					return nil, nil
				} else if err != nil {
					return nil, err
				}
				ids.start(m.Value)
				if err := ss.SendMsg(&m); err != nil {
					return nil, err
				}
			}
		}}
	s, clients := startLifecycle(t, desc, listen, conns)
	defer func() {
		for _, c := range clients {
			c.Close()
		}
	}()
	var calls atomic.Int64
	var wg sync.WaitGroup
	caller := func(c *Client, work func(*Client, string) error) {
		defer wg.Done()
		for {
			id := strconv.FormatInt(calls.Add(1), 10)
			err := work(c, id)
			if err == nil {
				continue
			}
			if !refusedByShutdown(err) {
				t.Errorf("call %s: %v", id, err)
			} else if ids.has(id) {
				t.Errorf("call %s had started and got %v", id, err)
			}
			return
		}
	}
	unary := func(c *Client, id string) error {
		var resp KeyValue
		err := c.Call(ctx, testService, "Work", &KeyValue{Value: id}, &resp)
		if err == nil && resp.Value != id {
			err = errors.New("the response is another's")
		}
		return err
	}
	for i := 0; i < conns*callers; i++ {
		work := unary
		if i%10 == 0 {
			work = func(c *Client, id string) error { return streamRound(ctx, c, id) }
		}
		wg.Add(1)
		go caller(clients[i%conns], work)
	}
	enough := int64(1000 + rand.Intn(2000))
	waitFor(t, "the flood", func() bool { return calls.Load() > enough })
	if err := s.Shutdown(ctx); err != nil {
		t.Errorf("Shutdown: %v", err)
	}
	wg.Wait()
}

// Close ends every call of every client at once. It waits neither for handlers,
// which here do not look at their contexts, nor for peers that do not read.
func TestLifecycleCloseAnswersAll(t *testing.T) {
	const conns, callers = 10, 100 // each
	const deafs = 20               // at a lingerLimit each they would take two seconds
	for _, n := range lifecycleNets {
		n := n
		t.Run(n.name, func(t *testing.T) {
			ctx := testContext(t)
			release := make(chan struct{})
			var started atomic.Int64
			desc := echoMethods()
			desc.Methods["Wait"] = func(context.Context, func(any) error) (any, error) {
				started.Add(1)
				<-release
				return &KeyValue{}, nil
			}
			desc.Methods["Big"] = func(context.Context, func(any) error) (any, error) {
				started.Add(1)
				return &KeyValue{Value: string(make([]byte, 3<<20))}, nil
			}
			l, dial := n.listen(t)
			s, clients := startLifecycle(t, desc, func(*testing.T) (net.Listener, func() (net.Conn, error)) { return l, dial }, conns)
			defer close(release)

			for i := 0; i < deafs; i++ {
				deaf, err := dial() // calls, and does not read
				if err != nil {
					t.Fatal(err)
				}
				defer deaf.Close()
				(&wire{deaf}).request(1, "Big", 0, &KeyValue{})
			}

			var wg sync.WaitGroup
			for i := 0; i < conns*callers; i++ {
				c, stream := clients[i%conns], i%10 == 0
				wg.Add(1)
				go func() {
					defer wg.Done()
					var err error
					if stream {
						var cs ClientStream
						if cs, err = c.NewStream(ctx, &StreamDesc{StreamingClient: true, StreamingServer: true}, testService, "EchoStream", nil); err == nil {
							started.Add(1)
							err = cs.RecvMsg(&KeyValue{})
						}
					} else {
						err = c.Call(ctx, testService, "Wait", &KeyValue{}, &KeyValue{})
					}
					if err != ErrClosed {
						t.Errorf("got %v, want ErrClosed", err)
					}
				}()
			}
			waitFor(t, "the calls to start", func() bool { return started.Load() == conns*callers+deafs })
			start := time.Now()
			if err := s.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
			wg.Wait()
			limit := 3 * time.Second / 2
			if raceEnabled || emulated() {
				limit = 6 * time.Second // the work of a thousand calls alone takes its time
			}
			if d := time.Since(start); d > limit {
				t.Errorf("the calls ended %v after Close, more than %v", d, limit)
			}
			// Nothing new is served.
			if nc, err := dial(); err == nil {
				c := NewClient(nc)
				defer c.Close()
				if err := echo(ctx, c, "late"); err != ErrClosed {
					t.Errorf("a call after Close: got %v, want ErrClosed", err)
				}
			}
		})
	}
}

// A server serves several listeners. One that is closed from outside ends its
// Serve alone.
func TestLifecycleSeveralListeners(t *testing.T) {
	ctx := testContext(t)
	s, err := NewServer()
	if err != nil {
		t.Fatal(err)
	}
	s.RegisterService(testService, echoMethods())
	var listeners []net.Listener
	var served []chan error
	var clients []*Client
	for i := 0; i < 2*len(lifecycleNets); i++ {
		l, dial := lifecycleNets[i%len(lifecycleNets)].listen(t)
		result := make(chan error, 1)
		go func() { result <- s.Serve(context.Background(), l) }()
		nc, err := dial()
		if err != nil {
			t.Fatal(err)
		}
		c := NewClient(nc)
		defer c.Close()
		if err := echo(ctx, c, "first"); err != nil {
			t.Fatal(err)
		}
		listeners, served, clients = append(listeners, l), append(served, result), append(clients, c)
	}
	listeners[0].Close()
	if err := <-served[0]; !errors.Is(err, net.ErrClosed) || err == ErrServerClosed {
		t.Errorf("Serve of the listener that was closed: got %v, want net.ErrClosed", err)
	}
	for i, c := range clients {
		if err := echo(ctx, c, "still"); err != nil {
			t.Errorf("connection %d after one listener was closed: %v", i, err)
		}
	}
	if err := s.Shutdown(ctx); err != nil {
		t.Errorf("Shutdown: %v", err)
	}
	for i, result := range served[1:] {
		if err := <-result; err != ErrServerClosed {
			t.Errorf("Serve %d: got %v, want ErrServerClosed", i+1, err)
		}
	}
	l, _ := lifecycleNets[0].listen(t)
	if err := s.Serve(ctx, l); err != ErrServerClosed {
		t.Errorf("Serve after Shutdown: got %v, want ErrServerClosed", err)
	}
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the listener of a Serve that came too late: got %v, want net.ErrClosed", err)
	}
}
