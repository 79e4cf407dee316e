package suite

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/containerd/ttrpc"
)

const service = "test.Interop"

var (
	clientStreams = &ttrpc.StreamDesc{StreamingClient: true}
	serverStreams = &ttrpc.StreamDesc{StreamingServer: true}
	bothStreams   = &ttrpc.StreamDesc{StreamingClient: true, StreamingServer: true}
)

// env is the client of a case, and the context of its calls.
type env struct {
	ctx    context.Context
	client *ttrpc.Client
}

// An order is a message of the suite, a request or a response. The key of the message is an
// action for the other side, and the value is its body.

// orderSize asks for a body of n bytes, as each of these does.
func orderSize(n int, body string) *ttrpc.KeyValue {
	return &ttrpc.KeyValue{Key: "size " + strconv.Itoa(n), Value: body}
}

// orderStatus asks for an error.
func orderStatus(code codes.Code, message string) *ttrpc.KeyValue {
	return &ttrpc.KeyValue{Key: fmt.Sprintf("status %d %s", code, message)}
}

// orderMetadata asks for the values that the call's metadata has for key.
func orderMetadata(key string) *ttrpc.KeyValue { return &ttrpc.KeyValue{Key: "metadata " + key} }

// carryOut returns the result of an order.
func carryOut(ctx context.Context, order *ttrpc.KeyValue) (*ttrpc.KeyValue, error) {
	verb, argument, _ := strings.Cut(order.Key, " ")
	switch verb {
	case "size":
		n, err := strconv.Atoi(argument)
		return &ttrpc.KeyValue{Value: body(n)}, err
	case "status":
		code, message, _ := strings.Cut(argument, " ")
		n, err := strconv.Atoi(code)
		if err != nil {
			return nil, err
		}
		return nil, status.Error(codes.Code(n), message)
	case "metadata":
		md, _ := ttrpc.GetMetadata(ctx)
		values, _ := md.Get(argument)
		return &ttrpc.KeyValue{Value: strings.Join(values, ",")}, nil
	}
	return nil, status.Errorf(codes.InvalidArgument, "unknown order %q", order.Key)
}

// body is a text of n bytes that is another one for each n.
func body(n int) string {
	line := fmt.Sprintf("%d bytes; ", n)
	return strings.Repeat(line, n/len(line)+1)[:n]
}

// checkBody returns an error if the body of m is not body(n).
func checkBody(m *ttrpc.KeyValue, n int) error {
	if m.Value != body(n) {
		return fmt.Errorf("got %d bytes %.40q, want %d bytes %.40q", len(m.Value), m.Value, n, body(n))
	}
	return nil
}

// NewServer returns a server of the cases, which is closed when the test ends.
func NewServer(t *testing.T) *ttrpc.Server {
	t.Helper()
	s, err := ttrpc.NewServer()
	if err != nil {
		t.Fatal(err)
	}
	s.RegisterService(service, &ttrpc.ServiceDesc{
		Methods: map[string]ttrpc.Method{
			"EmptyCall": func(_ context.Context, unmarshal func(any) error) (any, error) {
				var req ttrpc.KeyValue
				if err := unmarshal(&req); err != nil {
					return nil, err
				}
				if req.Key != "" || req.Value != "" {
					return nil, status.Errorf(codes.InvalidArgument, "the request is not empty: %v", &req)
				}
				return &ttrpc.KeyValue{}, nil
			},
			"UnaryCall": func(ctx context.Context, unmarshal func(any) error) (any, error) {
				var req ttrpc.KeyValue
				if err := unmarshal(&req); err != nil {
					return nil, err
				}
				return carryOut(ctx, &req)
			},
		},
		Streams: map[string]ttrpc.Stream{
			"StreamingInputCall":  {StreamingClient: true, Handler: streamingInputCall},
			"StreamingOutputCall": {StreamingServer: true, Handler: streamingOutputCall},
			"FullDuplexCall":      {StreamingClient: true, StreamingServer: true, Handler: fullDuplexCall},
		},
	})
	t.Cleanup(func() { s.Close() })
	return s
}

// streamingInputCall answers with the sum of the sizes that it received.
func streamingInputCall(_ context.Context, ss ttrpc.StreamServer) (any, error) {
	sum := 0
	for {
		var m ttrpc.KeyValue
		if err := ss.RecvMsg(&m); err == io.EOF {
			return &ttrpc.KeyValue{Value: strconv.Itoa(sum)}, nil
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
func streamingOutputCall(_ context.Context, ss ttrpc.StreamServer) (any, error) {
	var req ttrpc.KeyValue
	if err := ss.RecvMsg(&req); err != nil {
		return nil, err
	}
	for _, field := range strings.Fields(req.Key) {
		n, err := strconv.Atoi(field)
		if err != nil {
			return nil, err
		}
		if err := ss.SendMsg(&ttrpc.KeyValue{Value: body(n)}); err != nil {
			return nil, err
		}
	}
	return nil, nil
}

// fullDuplexCall carries out each order as it comes.
func fullDuplexCall(ctx context.Context, ss ttrpc.StreamServer) (any, error) {
	for {
		var m ttrpc.KeyValue
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
