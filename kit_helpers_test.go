package ttrpc

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const testService = "test.Service"

// testTimeout limits steps that are immediate: only a failure takes so long.
const testTimeout = 20 * time.Second

// testContext returns a context that ends with the test, or after testTimeout.
func testContext(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), testTimeout)
	t.Cleanup(cancel)
	return ctx
}

// echoMethods is the service of most tests. Messages are KeyValues.
func echoMethods() *ServiceDesc {
	return &ServiceDesc{
		Methods: map[string]Method{
			"Echo": func(_ context.Context, unmarshal func(any) error) (any, error) {
				var req KeyValue
				if err := unmarshal(&req); err != nil {
					return nil, err
				}
				return &req, nil
			},
			"Fail": func(_ context.Context, unmarshal func(any) error) (any, error) {
				return nil, status.Error(codes.AlreadyExists, "it is there")
			},
			// Block waits for the end of its context.
			"Block": func(ctx context.Context, unmarshal func(any) error) (any, error) {
				<-ctx.Done()
				return nil, ctx.Err()
			},
		},
		Streams: map[string]Stream{
			"EchoStream": {
				StreamingClient: true,
				StreamingServer: true,
				Handler: func(_ context.Context, ss StreamServer) (any, error) {
					for {
						var m KeyValue
						if err := ss.RecvMsg(&m); err != nil {
							if errors.Is(err, io.EOF) {
								err = nil
							}
							return nil, err
						}
						if err := ss.SendMsg(&m); err != nil {
							return nil, err
						}
					}
				},
			},
			// Repeat sends its request as often as the value is long.
			"Repeat": {
				StreamingServer: true,
				Handler: func(_ context.Context, ss StreamServer) (any, error) {
					var m KeyValue
					if err := ss.RecvMsg(&m); err != nil {
						return nil, err
					}
					for range []byte(m.Value) {
						if err := ss.SendMsg(&m); err != nil {
							return nil, err
						}
					}
					return nil, nil
				},
			},
			// Join answers with the values of all messages.
			"Join": {
				StreamingClient: true,
				Handler: func(_ context.Context, ss StreamServer) (any, error) {
					var sum KeyValue
					for {
						var m KeyValue
						if err := ss.RecvMsg(&m); err == io.EOF {
							return &sum, nil
						} else if err != nil {
							return nil, err
						}
						sum.Value += m.Value
					}
				},
			},
		},
	}
}

// dialTest returns a client of a server on a local socket.
func dialTest(t testing.TB, addr string, opts ...ClientOpts) *Client {
	t.Helper()
	c := NewClient(dialRaw(t, addr), opts...)
	t.Cleanup(func() { c.Close() })
	return c
}

func dialRaw(t testing.TB, addr string) net.Conn {
	t.Helper()
	nc, err := dialLocal(addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	return nc
}

// echo makes a call to Echo and checks its response.
func echo(ctx context.Context, c *Client, value string) error {
	var resp KeyValue
	if err := c.Call(ctx, testService, "Echo", &KeyValue{Key: "k", Value: value}, &resp); err != nil {
		return err
	}
	if resp.Key != "k" || resp.Value != value {
		return errors.New("the response is not the request")
	}
	return nil
}

// wantNoStreams checks that the table of a client is empty. The connection must be alive:
// its end empties the table in any case.
func wantNoStreams(t testing.TB, c *Client) {
	t.Helper()
	if n, err := tableOf(c.conn); err != nil {
		t.Errorf("the connection has ended, and its table says nothing: %v", err)
	} else if n > 0 {
		t.Errorf("%d streams are left in the client's table", n)
	}
}

// waitNoStreams is wantNoStreams for streams whose contexts have just ended: the watch on a
// context may not have run yet.
func waitNoStreams(t testing.TB, c *Client) {
	t.Helper()
	waitFor(t, "the client's table to become empty", func() bool {
		n, err := tableOf(c.conn)
		return n == 0 || err != nil
	})
	wantNoStreams(t, c)
}

// tableOf returns the number of streams in the table of a connection, and the error that
// has ended the connection.
func tableOf(c *conn) (streams int, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.streams), c.err
}

// tableSize returns the number of streams in the table of a connection.
func tableSize(c *conn) int {
	n, _ := tableOf(c)
	return n
}

// waitFor waits for a condition that has no event. The text in what describes it.
func waitFor(t testing.TB, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(testTimeout); !done(); {
		if time.Now().After(deadline) {
			t.Fatalf("waited too long for %s", what)
		}
		time.Sleep(time.Millisecond)
	}
}

// settle waits for the end of background work: connections linger for a moment.
func settle(t testing.TB) {
	t.Helper()
	if leaked := leakedGoroutines(testTimeout); leaked != "" {
		t.Fatalf("goroutines are left:\n%s", leaked)
	}
}

// text is the message of most tests.
func text(value string) *KeyValue { return &KeyValue{Value: value} }

// testPairConn returns the server's side of the only connection of a server.
func testPairConn(t testing.TB, s *Server) *serverConn {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for sc := range s.conns {
		return sc
	}
	t.Fatal("the server has no connection")
	return nil
}

type discardLogger struct{}

func (discardLogger) Printf(string, ...any) {}

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
