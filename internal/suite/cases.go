package suite

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/containerd/ttrpc"
)

// unary asks for n bytes, and sends as many.
func (e *env) unary(n int) error { return e.unarySizes(n, n) }

func (e *env) unarySizes(request, response int) error {
	var resp ttrpc.KeyValue
	if err := e.client.Call(e.ctx, service, "UnaryCall", orderSize(response, body(request)), &resp); err != nil {
		return err
	}
	return checkBody(&resp, response)
}

func (e *env) open(t *testing.T, desc *ttrpc.StreamDesc, method string, req any) ttrpc.ClientStream {
	t.Helper()
	cs, err := e.client.NewStream(e.ctx, desc, service, method, req)
	if err != nil {
		t.Fatal(err)
	}
	return cs
}

// wantStreamEnd checks that a stream ends with err, for good.
func wantStreamEnd(t *testing.T, cs ttrpc.ClientStream, want error) {
	t.Helper()
	for i := 0; i < 2; i++ {
		if err := cs.RecvMsg(&ttrpc.KeyValue{}); !errors.Is(err, want) {
			t.Fatalf("RecvMsg: got %v, want %v", err, want)
		}
	}
}

func wantStatus(t *testing.T, err error, code codes.Code, message string) {
	t.Helper()
	if st := status.Convert(err); st.Code() != code || st.Message() != message {
		t.Errorf("got %v %q, want %v %q", st.Code(), st.Message(), code, message)
	}
}

func mustSend(t *testing.T, cs ttrpc.ClientStream, m any) {
	t.Helper()
	if err := cs.SendMsg(m); err != nil {
		t.Fatalf("SendMsg: %v", err)
	}
}

func mustCloseSend(t *testing.T, cs ttrpc.ClientStream) {
	t.Helper()
	if err := cs.CloseSend(); err != nil {
		t.Fatalf("CloseSend: %v", err)
	}
}

func wantBody(t *testing.T, cs ttrpc.ClientStream, n int) {
	t.Helper()
	var m ttrpc.KeyValue
	if err := cs.RecvMsg(&m); err != nil {
		t.Fatalf("RecvMsg: %v, want %d bytes", err, n)
	}
	if err := checkBody(&m, n); err != nil {
		t.Fatal(err)
	}
}

func emptyUnary(t *testing.T, e *env) {
	resp := ttrpc.KeyValue{Key: "what was here", Value: "before"}
	if err := e.client.Call(e.ctx, service, "EmptyCall", &ttrpc.KeyValue{}, &resp); err != nil {
		t.Fatal(err)
	}
	if resp.Key != "" || resp.Value != "" {
		t.Errorf("the response is not empty: %v", &resp)
	}
}

func largeUnary(t *testing.T, e *env) {
	if err := e.unarySizes(271828, 314159); err != nil {
		t.Error(err)
	}
}

func clientStreaming(t *testing.T, e *env) {
	cs := e.open(t, clientStreams, "StreamingInputCall", nil)
	for _, n := range []int{27182, 8, 1828, 45904} {
		mustSend(t, cs, &ttrpc.KeyValue{Value: body(n)})
	}
	mustCloseSend(t, cs)
	var sum ttrpc.KeyValue
	if err := cs.RecvMsg(&sum); err != nil || sum.Value != "74922" {
		t.Fatalf("got %q, %v, want the sum 74922", sum.Value, err)
	}
	wantStreamEnd(t, cs, io.EOF)
}

func serverStreaming(t *testing.T, e *env) {
	cs := e.open(t, serverStreams, "StreamingOutputCall", &ttrpc.KeyValue{Key: "31415 9 2653 58979"})
	for _, n := range []int{31415, 9, 2653, 58979} {
		wantBody(t, cs, n)
	}
	wantStreamEnd(t, cs, io.EOF)
}

func pingPong(t *testing.T, e *env) {
	cs := e.open(t, bothStreams, "FullDuplexCall", nil)
	for _, n := range []struct{ request, response int }{{27182, 31415}, {8, 9}, {1828, 2653}, {45904, 58979}} {
		mustSend(t, cs, orderSize(n.response, body(n.request)))
		wantBody(t, cs, n.response)
	}
	mustCloseSend(t, cs)
	wantStreamEnd(t, cs, io.EOF)
}

func emptyStream(t *testing.T, e *env) {
	cs := e.open(t, bothStreams, "FullDuplexCall", nil)
	mustCloseSend(t, cs)
	wantStreamEnd(t, cs, io.EOF)
}

func customMetadata(t *testing.T, e *env) {
	const (
		key   = "x-grpc-test-echo-initial"
		other = "x-grpc-test-echo-trailing-bin"
		value = "test_initial_metadata_value"
	)
	ctx := ttrpc.WithMetadata(e.ctx, ttrpc.MD{key: {value, "second"}, other: {"q6ur"}})
	for want, order := range map[string]*ttrpc.KeyValue{
		value + ",second": orderMetadata(key),
		"q6ur":            orderMetadata(other),
		"":                orderMetadata("absent"),
	} {
		var resp ttrpc.KeyValue
		if err := e.client.Call(ctx, service, "UnaryCall", order, &resp); err != nil || resp.Value != want {
			t.Errorf("unary, %s: got %q, %v, want %q", order.Key, resp.Value, err, want)
		}
		cs, err := e.client.NewStream(ctx, bothStreams, service, "FullDuplexCall", nil)
		if err != nil {
			t.Fatal(err)
		}
		mustSend(t, cs, order)
		var m ttrpc.KeyValue
		if err := cs.RecvMsg(&m); err != nil || m.Value != want {
			t.Errorf("stream, %s: got %q, %v, want %q", order.Key, m.Value, err, want)
		}
		mustCloseSend(t, cs)
		wantStreamEnd(t, cs, io.EOF)
	}
}

func statusCodeAndMessage(t *testing.T, e *env) {
	checkStatus(t, e, "test status message")
}

func specialStatusMessage(t *testing.T, e *env) {
	checkStatus(t, e, "\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n")
}

func checkStatus(t *testing.T, e *env, message string) {
	order := orderStatus(codes.Unknown, message)
	err := e.client.Call(e.ctx, service, "UnaryCall", order, &ttrpc.KeyValue{})
	wantStatus(t, err, codes.Unknown, message)

	cs := e.open(t, bothStreams, "FullDuplexCall", nil)
	mustSend(t, cs, order)
	for i := 0; i < 2; i++ {
		wantStatus(t, cs.RecvMsg(&ttrpc.KeyValue{}), codes.Unknown, message)
	}
}

func unimplementedMethod(t *testing.T, e *env) {
	unimplemented(t, e, service, "UnimplementedCall")
}

func unimplementedService(t *testing.T, e *env) {
	unimplemented(t, e, "test.Unimplemented", "UnimplementedCall")
}

func unimplemented(t *testing.T, e *env, service, method string) {
	err := e.client.Call(e.ctx, service, method, &ttrpc.KeyValue{}, &ttrpc.KeyValue{})
	if status.Code(err) != codes.Unimplemented {
		t.Errorf("unary: got %v, want Unimplemented", err)
	}
	for _, desc := range []*ttrpc.StreamDesc{clientStreams, serverStreams, bothStreams} {
		var req any
		if !desc.StreamingClient {
			req = &ttrpc.KeyValue{}
		}
		cs, err := e.client.NewStream(e.ctx, desc, service, method, req)
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < 2; i++ {
			if err := cs.RecvMsg(&ttrpc.KeyValue{}); status.Code(err) != codes.Unimplemented {
				t.Errorf("stream %+v: got %v, want Unimplemented", *desc, err)
			}
		}
	}
}

func cancelAfterBegin(t *testing.T, e *env) {
	ctx, cancel := context.WithCancel(e.ctx)
	cs, err := e.client.NewStream(ctx, clientStreams, service, "StreamingInputCall", nil)
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	wantStreamEnd(t, cs, context.Canceled)
}

func cancelAfterFirstResponse(t *testing.T, e *env) {
	ctx, cancel := context.WithCancel(e.ctx)
	defer cancel()
	cs, err := e.client.NewStream(ctx, bothStreams, service, "FullDuplexCall", nil)
	if err != nil {
		t.Fatal(err)
	}
	mustSend(t, cs, orderSize(31415, body(27182)))
	wantBody(t, cs, 31415)
	cancel()
	wantStreamEnd(t, cs, context.Canceled)
}

// The server sleeps as its handler waits for a message that does not come.
func timeoutOnSleepingServer(t *testing.T, e *env) {
	ctx, cancel := context.WithTimeout(e.ctx, 20*time.Millisecond)
	defer cancel()
	cs, err := e.client.NewStream(ctx, bothStreams, service, "FullDuplexCall", nil)
	if err == nil {
		wantStreamEnd(t, cs, context.DeadlineExceeded)
	} else if err != context.DeadlineExceeded {
		t.Errorf("NewStream: got %v, want DeadlineExceeded", err)
	}
}

func concurrentLargeUnary(t *testing.T, e *env) {
	const callers = 20
	var wg sync.WaitGroup
	for i := 0; i < callers; i++ {
		i := i
		wg.Add(1)
		go func() {
			defer wg.Done()
			// Each has its own sizes, so that no response passes for another.
			if err := e.unarySizes(271828+i, 314159+i); err != nil {
				t.Errorf("call %d: %v", i, err)
			}
		}()
	}
	wg.Wait()
}

// soak is some of everything at once, for a moment; `make soak` is more.
func soak(t *testing.T, e *env) {
	const workers, steps = 8, 25
	var wg sync.WaitGroup
	for i := 0; i < workers; i++ {
		random := rand.New(rand.NewSource(int64(i)))
		wg.Add(1)
		go func() {
			defer wg.Done()
			for j := 0; j < steps; j++ {
				step := soakSteps[random.Intn(len(soakSteps))]
				if err := step(e, random); err != nil {
					t.Error(err)
					return
				}
			}
		}()
	}
	wg.Wait()
}

var soakSteps = []func(*env, *rand.Rand) error{
	func(e *env, r *rand.Rand) error {
		return e.unarySizes(r.Intn(20000), r.Intn(20000))
	},
	func(e *env, r *rand.Rand) error {
		if err := e.client.Call(e.ctx, service, "UnaryCall", orderStatus(codes.DataLoss, "lost"), &ttrpc.KeyValue{}); status.Code(err) != codes.DataLoss {
			return fmt.Errorf("got %v, want DataLoss", err)
		}
		return nil
	},
	func(e *env, r *rand.Rand) error {
		sizes := []int{r.Intn(10), r.Intn(5000), r.Intn(20000)}
		req := &ttrpc.KeyValue{Key: strings.Trim(fmt.Sprint(sizes), "[]")}
		cs, err := e.client.NewStream(e.ctx, serverStreams, service, "StreamingOutputCall", req)
		if err != nil {
			return err
		}
		for _, n := range sizes {
			var m ttrpc.KeyValue
			if err := cs.RecvMsg(&m); err != nil {
				return err
			}
			if err := checkBody(&m, n); err != nil {
				return err
			}
		}
		if err := cs.RecvMsg(&ttrpc.KeyValue{}); err != io.EOF {
			return fmt.Errorf("after the last message: got %v, want EOF", err)
		}
		return nil
	},
	func(e *env, r *rand.Rand) error {
		ctx, cancel := context.WithCancel(e.ctx)
		defer cancel()
		cs, err := e.client.NewStream(ctx, bothStreams, service, "FullDuplexCall", nil)
		if err != nil {
			return err
		}
		for i := r.Intn(5); i >= 0; i-- {
			n := r.Intn(5000)
			if err := cs.SendMsg(orderSize(n, body(r.Intn(5000)))); err != nil {
				return err
			}
			var m ttrpc.KeyValue
			if err := cs.RecvMsg(&m); err != nil {
				return err
			}
			if err := checkBody(&m, n); err != nil {
				return err
			}
		}
		if r.Intn(2) == 0 {
			return nil // given up
		}
		if err := cs.CloseSend(); err != nil {
			return err
		}
		if err := cs.RecvMsg(&ttrpc.KeyValue{}); err != io.EOF {
			return fmt.Errorf("after CloseSend: got %v, want EOF", err)
		}
		return nil
	},
	func(e *env, r *rand.Rand) error {
		ctx, cancel := context.WithTimeout(e.ctx, time.Duration(r.Intn(300))*time.Microsecond)
		defer cancel()
		var resp ttrpc.KeyValue
		err := e.client.Call(ctx, service, "UnaryCall", orderSize(100, body(r.Intn(5000))), &resp)
		if err == context.DeadlineExceeded {
			return nil
		}
		if err != nil {
			return err
		}
		return checkBody(&resp, 100)
	},
}
