// Package suite has the interoperability cases that gRPC's implementations have in
// common, as far as they make sense here, for tests to run over any kind of connection.
// Sizes, codes and texts are those of the cases' descriptions.
package suite

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/containerd/ttrpc"
)

var tests = []struct {
	name string
	run  func(t *testing.T, e *env)
}{
	{"empty_unary", emptyUnary},
	{"large_unary", largeUnary},
	{"client_streaming", clientStreaming},
	{"server_streaming", serverStreaming},
	{"ping_pong", pingPong},
	{"empty_stream", emptyStream},
	{"custom_metadata", customMetadata},
	{"status_code_and_message", statusCodeAndMessage},
	{"special_status_message", specialStatusMessage},
	{"unimplemented_method", unimplementedMethod},
	{"unimplemented_service", unimplementedService},
	{"cancel_after_begin", cancelAfterBegin},
	{"cancel_after_first_response", cancelAfterFirstResponse},
	{"timeout_on_sleeping_server", timeoutOnSleepingServer},
	{"concurrent_large_unary", concurrentLargeUnary},
	{"soak", soak},
}

// timeLimit bounds a case that fails: each takes milliseconds.
const timeLimit = 40 * time.Second

// Connect returns a client of a server, whose connection ends when the test ends.
type Connect func(t *testing.T, s *ttrpc.Server) *ttrpc.Client

// Run runs each case over a connection of its own. After a case that has passed, the
// connection must serve another call, and then idle, if it is not nil, checks that the
// client has forgotten the streams of the case.
func Run(t *testing.T, connect Connect, idle func(testing.TB, *ttrpc.Client)) {
	for _, c := range tests {
		c := c
		t.Run(c.name, func(t *testing.T) {
			s := NewServer(t)
			ctx, cancel := context.WithTimeout(context.Background(), timeLimit)
			defer cancel()
			e := &env{ctx: ctx, client: connect(t, s)}
			c.run(t, e)
			if t.Failed() {
				return
			}
			if err := e.unary(10); err != nil {
				t.Errorf("a call at the end: %v", err)
			}
			if idle != nil {
				idle(t, e.client)
			}
		})
	}
}

// Listen returns a client of s, which serves l until the end of the test. The client's
// connection is the one that dial returns.
func Listen(t *testing.T, s *ttrpc.Server, l net.Listener, dial func() (net.Conn, error)) *ttrpc.Client {
	t.Helper()
	served := make(chan error, 1)
	go func() { served <- s.Serve(context.Background(), l) }()
	t.Cleanup(func() {
		s.Close()
		if err := <-served; err != ttrpc.ErrServerClosed {
			t.Errorf("Serve: got %v, want ErrServerClosed", err)
		}
	})
	nc, err := dial()
	if err != nil {
		t.Fatal(err)
	}
	return newClient(t, nc)
}

// Pair returns a client on one end of a connection, whose other end s serves until the end
// of the test.
func Pair(t *testing.T, s *ttrpc.Server, client, server net.Conn) *ttrpc.Client {
	served := make(chan error, 1)
	go func() { served <- s.ServeConn(context.Background(), server) }()
	t.Cleanup(func() {
		s.Close()
		<-served // the error depends on the end that was closed first
	})
	return newClient(t, client)
}

func newClient(t *testing.T, nc net.Conn) *ttrpc.Client {
	c := ttrpc.NewClient(nc)
	t.Cleanup(func() { c.Close() })
	return c
}

// Load has a client make one call after the other until the end of the test, and fails the
// test if one of them fails. The client is of a server from NewServer.
func Load(t *testing.T, c *ttrpc.Client) {
	e := &env{ctx: context.Background(), client: c}
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() { // ends when the cleanup closes stop, or with an error
		defer close(stopped)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			if err := e.unary(i * 37 % 6000); err != nil {
				t.Errorf("call %d beside the case: %v", i, err)
				return
			}
		}
	}()
	t.Cleanup(func() {
		close(stop)
		<-stopped
	})
}
