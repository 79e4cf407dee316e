//go:build unix

package ttrpc

import (
	"context"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// The interoperability cases that gRPC's implementations have in common, as far
// as they make sense here, over each kind of connection. Sizes, codes and texts
// are those of the cases' descriptions.

func TestSuite(t *testing.T) {
	cases := []struct {
		name string
		run  func(t *testing.T, e *suiteEnv)
	}{
		{"empty_unary", suiteEmptyUnary},
		{"large_unary", suiteLargeUnary},
		{"client_streaming", suiteClientStreaming},
		{"server_streaming", suiteServerStreaming},
		{"ping_pong", suitePingPong},
		{"empty_stream", suiteEmptyStream},
		{"custom_metadata", suiteCustomMetadata},
		{"status_code_and_message", suiteStatusCodeAndMessage},
		{"special_status_message", suiteSpecialStatusMessage},
		{"unimplemented_method", suiteUnimplementedMethod},
		{"unimplemented_service", suiteUnimplementedService},
		{"cancel_after_begin", suiteCancelAfterBegin},
		{"cancel_after_first_response", suiteCancelAfterFirstResponse},
		{"timeout_on_sleeping_server", suiteTimeoutOnSleepingServer},
		{"concurrent_large_unary", suiteConcurrentLargeUnary},
		{"soak", suiteSoak},
	}
	transports := []struct {
		name    string
		connect func(t *testing.T, s *Server) *Client
	}{
		{"unix", suiteUnix},
		{"pipe", suitePipe},
		{"mux", suiteMux},
	}
	for _, transport := range transports {
		transport := transport
		t.Run(transport.name, func(t *testing.T) {
			for _, c := range cases {
				c := c
				t.Run(c.name, func(t *testing.T) {
					s := newSuiteServer(t)
					// The server ends streams at this deadline: what waits for the
					// client to do it gives up before.
					ctx, cancel := context.WithTimeout(context.Background(), 2*testTimeout)
					defer cancel()
					e := &suiteEnv{ctx: ctx, server: s, client: transport.connect(t, s)}
					c.run(t, e)
					if t.Failed() {
						return
					}
					e.wantAlive(t)
					// A stream that was given up may take a moment to leave.
					waitFor(t, "the client's table to be empty", func() bool { return tableSize(e.client.conn) == 0 })
				})
			}
		})
	}
}

const suiteService = "test.Interop"

var (
	suiteClientStreams = &StreamDesc{StreamingClient: true}
	suiteServerStreams = &StreamDesc{StreamingServer: true}
	suiteBothStream    = &StreamDesc{StreamingClient: true, StreamingServer: true}
)

// suiteEnv is a client and the server of its connection.
type suiteEnv struct {
	ctx    context.Context
	server *Server
	client *Client
}

// An order is a request of the suite, and so is a response: the value of the
// message is its body, and its key what the other side is to do.

// orderSize asks for a body of n bytes, as each of these does.
func orderSize(n int, body string) *KeyValue {
	return &KeyValue{Key: "size " + strconv.Itoa(n), Value: body}
}

// orderStatus asks for an error.
func orderStatus(code codes.Code, message string) *KeyValue {
	return &KeyValue{Key: fmt.Sprintf("status %d %s", code, message)}
}

// orderMetadata asks for the values that the call's metadata has for key.
func orderMetadata(key string) *KeyValue { return &KeyValue{Key: "metadata " + key} }

// carryOut returns what was asked for.
func carryOut(ctx context.Context, order *KeyValue) (*KeyValue, error) {
	verb, argument, _ := strings.Cut(order.Key, " ")
	switch verb {
	case "size":
		n, err := strconv.Atoi(argument)
		return &KeyValue{Value: body(n)}, err
	case "status":
		code, message, _ := strings.Cut(argument, " ")
		n, err := strconv.Atoi(code)
		if err != nil {
			return nil, err
		}
		return nil, status.Error(codes.Code(n), message)
	case "metadata":
		md, _ := GetMetadata(ctx)
		values, _ := md.Get(argument)
		return &KeyValue{Value: strings.Join(values, ",")}, nil
	}
	return nil, status.Errorf(codes.InvalidArgument, "unknown order %q", order.Key)
}

// body is a text of n bytes that is another one for each n.
func body(n int) string {
	line := fmt.Sprintf("%d bytes; ", n)
	return strings.Repeat(line, n/len(line)+1)[:n]
}

// checkBody says what is wrong with a body of n bytes.
func checkBody(m *KeyValue, n int) error {
	if m.Value != body(n) {
		return fmt.Errorf("got %d bytes %.40q, want %d bytes %.40q", len(m.Value), m.Value, n, body(n))
	}
	return nil
}

func newSuiteServer(t *testing.T) *Server {
	t.Helper()
	s, err := NewServer()
	if err != nil {
		t.Fatal(err)
	}
	s.RegisterService(suiteService, &ServiceDesc{
		Methods: map[string]Method{
			"EmptyCall": func(_ context.Context, unmarshal func(any) error) (any, error) {
				var req KeyValue
				if err := unmarshal(&req); err != nil {
					return nil, err
				}
				if req.Key != "" || req.Value != "" {
					return nil, status.Errorf(codes.InvalidArgument, "the request is not empty: %v", &req)
				}
				return &KeyValue{}, nil
			},
			"UnaryCall": func(ctx context.Context, unmarshal func(any) error) (any, error) {
				var req KeyValue
				if err := unmarshal(&req); err != nil {
					return nil, err
				}
				return carryOut(ctx, &req)
			},
		},
		Streams: map[string]Stream{
			"StreamingInputCall":  {StreamingClient: true, Handler: streamingInputCall},
			"StreamingOutputCall": {StreamingServer: true, Handler: streamingOutputCall},
			"FullDuplexCall":      {StreamingClient: true, StreamingServer: true, Handler: fullDuplexCall},
		},
	})
	t.Cleanup(func() { s.Close() })
	return s
}

// streamingInputCall answers with the sum of the sizes that it received.
func streamingInputCall(_ context.Context, ss StreamServer) (any, error) {
	sum := 0
	for {
		var m KeyValue
		if err := ss.RecvMsg(&m); err == io.EOF {
			return &KeyValue{Value: strconv.Itoa(sum)}, nil
		} else if err != nil {
			return nil, err
		}
		if err := checkBody(&m, len(m.Value)); err != nil {
			return nil, err
		}
		sum += len(m.Value)
	}
}

// streamingOutputCall sends a body of each size that the request lists.
func streamingOutputCall(_ context.Context, ss StreamServer) (any, error) {
	var req KeyValue
	if err := ss.RecvMsg(&req); err != nil {
		return nil, err
	}
	for _, field := range strings.Fields(req.Key) {
		n, err := strconv.Atoi(field)
		if err != nil {
			return nil, err
		}
		if err := ss.SendMsg(&KeyValue{Value: body(n)}); err != nil {
			return nil, err
		}
	}
	return nil, nil
}

// fullDuplexCall carries out each order as it comes.
func fullDuplexCall(ctx context.Context, ss StreamServer) (any, error) {
	for {
		var m KeyValue
		if err := ss.RecvMsg(&m); err == io.EOF {
			return nil, nil
		} else if err != nil {
			return nil, err
		}
		resp, err := carryOut(ctx, &m)
		if err != nil {
			return nil, err
		}
		if err := ss.SendMsg(resp); err != nil {
			return nil, err
		}
	}
}

// serveSuite serves l until the end of the test.
func serveSuite(t *testing.T, s *Server, l net.Listener) {
	served := make(chan error, 1)
	go func() { served <- s.Serve(context.Background(), l) }()
	t.Cleanup(func() {
		s.Close()
		if err := <-served; err != ErrServerClosed {
			t.Errorf("Serve: got %v, want ErrServerClosed", err)
		}
	})
}

func suiteUnix(t *testing.T, s *Server) *Client {
	l, err := net.Listen("unix", socketPath(t))
	if err != nil {
		t.Fatal(err)
	}
	serveSuite(t, s, l)
	return dialTest(t, l.Addr().String())
}

func suitePipe(t *testing.T, s *Server) *Client {
	near, far := net.Pipe()
	l := newMemListener(0)
	serveSuite(t, s, l)
	l.hand(far)
	c := NewClient(near)
	t.Cleanup(func() { c.Close() })
	return c
}

// suiteMux has the other end of the trunk call, too: each end is a client on one
// connection and a server on the other, as with NRI.
func suiteMux(t *testing.T, s *Server) *Client {
	const there, back = 1, 2
	near, far := muxPair(t, there, back)
	connect := func(s *Server, id uint32, client, server *testMux) *Client {
		l := newMemListener(0)
		serveSuite(t, s, l)
		l.hand(server.conn(id))
		c := NewClient(client.conn(id))
		t.Cleanup(func() { c.Close() })
		return c
	}
	c := connect(s, there, near, far)
	opposite := &suiteEnv{ctx: context.Background()}
	opposite.server = newSuiteServer(t)
	opposite.client = connect(opposite.server, back, far, near)
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			if err := opposite.unary(i * 37 % 6000); err != nil {
				t.Errorf("the other way: call %d: %v", i, err)
				return
			}
		}
	}()
	t.Cleanup(func() {
		close(stop)
		<-stopped
		for _, m := range []*testMux{near, far} {
			if err := m.failure(); err != nil {
				t.Errorf("the multiplexer failed: %v", err)
			}
			for _, mc := range m.conns {
				if least := mc.smallest.Load(); least != 0 && least < minReadLength {
					t.Errorf("connection %d was read with %d bytes of room", mc.id, least)
				}
			}
		}
	})
	return c
}
