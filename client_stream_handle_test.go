package ttrpc

import (
	"context"
	"io"
	"net"
	"runtime"
	"sync"
	"testing"
	"time"
)

// In these tests the garbage collector finds streams that the program has dropped.

// collected waits until done reports true, and runs the garbage collector meanwhile.
func collected(t *testing.T, what string, done func() bool) {
	t.Helper()
	waitFor(t, what, func() bool {
		runtime.GC()
		return done()
	})
}

// A forgetTest is a server whose handlers report when they begin and end.
type forgetTest struct {
	began, ended chan error
	message      chan struct{} // has Once send
}

func (ft *forgetTest) methods() *ServiceDesc {
	desc := echoMethods()
	for name, stream := range map[string]Stream{
		"Flood": {StreamingServer: true, Handler: func(_ context.Context, ss StreamServer) (any, error) {
			for {
				if err := ss.SendMsg(text("x")); err != nil {
					return nil, err
				}
			}
		}},
		"Wait": {StreamingClient: true, StreamingServer: true, Handler: func(ctx context.Context, _ StreamServer) (any, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}},
		"Work": {StreamingClient: true, Handler: func(ctx context.Context, ss StreamServer) (any, error) {
			for ss.RecvMsg(&KeyValue{}) == nil {
			}
			<-ft.message
			return text("done"), ctx.Err()
		}},
		"Once": {StreamingServer: true, Handler: func(_ context.Context, ss StreamServer) (any, error) {
			<-ft.message
			return nil, ss.SendMsg(text("once"))
		}},
	} {
		run := stream.Handler
		stream.Handler = func(ctx context.Context, ss StreamServer) (any, error) {
			ft.began <- nil
			resp, err := run(ctx, ss)
			ft.ended <- err
			return resp, err
		}
		desc.Streams[name] = stream
	}
	return desc
}

func newForgetTest(t *testing.T, opts ...ClientOpts) (*forgetTest, *Client, *Server) {
	t.Helper()
	ft := &forgetTest{began: make(chan error, 10_000), ended: make(chan error, 10_000), message: make(chan struct{})}
	s, addr := newTestServer(t, ft.methods())
	c := dialTest(t, addr, opts...)
	if err := echo(testContext(t), c, "x"); err != nil {
		t.Fatal(err)
	}
	return ft, c, s
}

// forget opens a stream and drops the only reference to it.
func forget(t *testing.T, c *Client, method string) {
	t.Helper()
	desc, req := &StreamDesc{StreamingClient: true, StreamingServer: true}, any(nil)
	if method != "Wait" {
		desc, req = &StreamDesc{StreamingServer: true}, text("x")
	}
	if _, err := c.NewStream(context.Background(), desc, testService, method, req); err != nil {
		t.Fatal(err)
	}
}

// A stream that the program has dropped ends on both sides, while the handler waits for its
// window or for its context.
func TestForgottenStream(t *testing.T) {
	for _, method := range []string{"Flood", "Wait"} {
		ft, c, s := newForgetTest(t)
		forget(t, c, method)
		within(t, "the handler", ft.began)
		sc := testPairConn(t, s)
		collected(t, "the end of the stream", func() bool { return len(ft.ended) == 1 })
		if err := <-ft.ended; err == nil {
			t.Errorf("%s: the handler has ended without an error", method)
		}
		waitNoStreams(t, c)
		waitFor(t, "the end of the server's stream", func() bool { return tableSize(sc.conn) == 0 })
	}
}

// Without extensions a dropped stream ends only at the client.
func TestForgottenStreamWithoutExtensions(t *testing.T) {
	ft, c, s := newForgetTest(t, WithClientExtensions(false))
	forget(t, c, "Wait")
	within(t, "the handler", ft.began)
	collected(t, "the end of the client's stream", func() bool { return tableSize(c.conn) == 0 })
	if err := echo(testContext(t), c, "x"); err != nil {
		t.Error(err)
	}
	if n := tableSize(testPairConn(t, s).conn); n != 1 {
		t.Errorf("the server has %d streams, want 1", n)
	}
}

// A stream goes on if the program has sent its last message and leaves the rest to the
// handler.
func TestForgottenUploadGoesOn(t *testing.T) {
	for name, send := range map[string]func(*Client) error{
		"messages": func(c *Client) error {
			cs, err := c.NewStream(context.Background(), &StreamDesc{StreamingClient: true}, testService, "Work", nil)
			for i := 0; i < 3 && err == nil; i++ {
				err = cs.SendMsg(text("work"))
			}
			if err != nil {
				return err
			}
			return cs.CloseSend()
		},
		"a request": func(c *Client) error {
			_, err := c.NewStream(context.Background(), &StreamDesc{}, testService, "Work", text("work"))
			return err
		},
	} {
		ft, c, _ := newForgetTest(t)
		if err := send(c); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		within(t, "the handler", ft.began)
		for i := 0; i < 5; i++ {
			runtime.GC()
			if err := echo(testContext(t), c, "x"); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
		close(ft.message)
		if err := within(t, "the handler", ft.ended); err != nil {
			t.Errorf("%s: the handler: %v", name, err)
		}
		waitNoStreams(t, c)
	}
}

// A stream to which only a waiting method refers is not dropped.
func TestWaitingStreamIsNotForgotten(t *testing.T) {
	ft, c, _ := newForgetTest(t)
	received := make(chan error, 1)
	go func() {
		cs, err := c.NewStream(context.Background(), &StreamDesc{StreamingServer: true}, testService, "Once", text("x"))
		if err == nil {
			err = cs.RecvMsg(&KeyValue{})
		}
		received <- err
	}()
	within(t, "the handler", ft.began)
	for i := 0; i < 5; i++ {
		runtime.GC()
		if err := echo(testContext(t), c, "x"); err != nil {
			t.Fatal(err)
		}
	}
	close(ft.message)
	if err := within(t, "the message", received); err != nil {
		t.Errorf("RecvMsg: %v", err)
	}
}

// A stream that has ended keeps its result when the collector finds it.
func TestForgottenAfterEnd(t *testing.T) {
	_, c, _ := newForgetTest(t)
	cs, err := c.NewStream(context.Background(), &StreamDesc{StreamingServer: true}, testService, "Repeat", text("x"))
	if err != nil {
		t.Fatal(err)
	}
	waitNoStreams(t, c)
	runtime.GC()
	if err := cs.RecvMsg(&KeyValue{}); err != nil {
		t.Error(err)
	}
	if err := cs.RecvMsg(&KeyValue{}); err != io.EOF {
		t.Error(err)
	}
}

// Thousands of dropped streams leave nothing on either side.
func TestForgottenStreams(t *testing.T) {
	const streams = 10_000
	ft, c, s := newForgetTest(t)
	waitForLoop(t, c)
	goroutines := runtime.NumGoroutine()
	var opened sync.WaitGroup
	for i := 0; i < 10; i++ {
		opened.Add(1)
		go func() {
			defer opened.Done()
			for j := 0; j < streams/10; j++ {
				forget(t, c, "Wait")
			}
		}()
	}
	opened.Wait()
	sc := testPairConn(t, s)
	start := time.Now()
	runtime.GC()
	collected(t, "the handlers to end", func() bool { return len(ft.ended) == streams })
	waitFor(t, "the tables to become empty", func() bool {
		return tableSize(c.conn) == 0 && tableSize(sc.conn) == 0 && sc.running.Load() == 0
	})
	took := time.Since(start)
	waitFor(t, "the goroutines to end", func() bool { return runtime.NumGoroutine() <= goroutines })
	t.Logf("%d streams took %v", streams, took)
	if most := time.Second; took > most && !raceEnabled && !emulated() {
		t.Errorf("%d forgotten streams took %v to leave nothing, at most %v", streams, took, most)
	}
}

// A window frame that waits to be written keeps no ended stream in memory. Otherwise a peer
// that does not read could make the server keep all of its calls.
func TestWindowFrameKeepsNoStream(t *testing.T) {
	near, far := net.Pipe() // nobody reads
	defer far.Close()
	c := NewClient(near)
	defer c.Close()
	freed := make(chan struct{})
	func() {
		st := &stream{flow: &flow{recv: newReceiveWindow(1)}}
		st.init(c.conn, new(inbox))
		runtime.SetFinalizer(st.flow, func(*flow) { close(freed) })
		st.push(message{none: true, cost: dataOverhead})
		if !st.flow.stating {
			t.Error("no window frame waits to be written")
		}
	}()
	collected(t, "the stream", func() bool { return isClosed(freed) })
}
