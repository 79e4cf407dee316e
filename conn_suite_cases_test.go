//go:build unix

package ttrpc

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
)

// The cases of TestSuite.

// unary asks for n bytes, and sends as many.
func (e *suiteEnv) unary(n int) error { return e.unarySizes(n, n) }

func (e *suiteEnv) unarySizes(request, response int) error {
	var resp KeyValue
	if err := e.client.Call(e.ctx, suiteService, "UnaryCall", orderSize(response, body(request)), &resp); err != nil {
		return err
	}
	return checkBody(&resp, response)
}

// wantAlive checks that the connection serves calls.
func (e *suiteEnv) wantAlive(t *testing.T) {
	t.Helper()
	if err := e.unary(10); err != nil {
		t.Errorf("a call at the end: %v", err)
	}
}

func (e *suiteEnv) open(t *testing.T, desc *StreamDesc, method string, req any) ClientStream {
	t.Helper()
	cs, err := e.client.NewStream(e.ctx, desc, suiteService, method, req)
	if err != nil {
		t.Fatal(err)
	}
	return cs
}

// wantStreamEnd checks that a stream ends with err, for good.
func wantStreamEnd(t *testing.T, cs ClientStream, want error) {
	t.Helper()
	for i := 0; i < 2; i++ {
		if err := cs.RecvMsg(&KeyValue{}); !errors.Is(err, want) {
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

func mustSend(t *testing.T, cs ClientStream, m any) {
	t.Helper()
	if err := cs.SendMsg(m); err != nil {
		t.Fatalf("SendMsg: %v", err)
	}
}

func mustCloseSend(t *testing.T, cs ClientStream) {
	t.Helper()
	if err := cs.CloseSend(); err != nil {
		t.Fatalf("CloseSend: %v", err)
	}
}

func wantBody(t *testing.T, cs ClientStream, n int) {
	t.Helper()
	var m KeyValue
	if err := cs.RecvMsg(&m); err != nil {
		t.Fatalf("RecvMsg: %v, want %d bytes", err, n)
	}
	if err := checkBody(&m, n); err != nil {
		t.Fatal(err)
	}
}

func suiteEmptyUnary(t *testing.T, e *suiteEnv) {
	resp := KeyValue{Key: "what was here", Value: "before"}
	if err := e.client.Call(e.ctx, suiteService, "EmptyCall", &KeyValue{}, &resp); err != nil {
		t.Fatal(err)
	}
	if resp.Key != "" || resp.Value != "" {
		t.Errorf("the response is not empty: %v", &resp)
	}
}

func suiteLargeUnary(t *testing.T, e *suiteEnv) {
	if err := e.unarySizes(271828, 314159); err != nil {
		t.Error(err)
	}
}

func suiteClientStreaming(t *testing.T, e *suiteEnv) {
	cs := e.open(t, suiteClientStreams, "StreamingInputCall", nil)
	for _, n := range []int{27182, 8, 1828, 45904} {
		mustSend(t, cs, &KeyValue{Value: body(n)})
	}
	mustCloseSend(t, cs)
	var sum KeyValue
	if err := cs.RecvMsg(&sum); err != nil || sum.Value != "74922" {
		t.Fatalf("got %q, %v, want the sum 74922", sum.Value, err)
	}
	wantStreamEnd(t, cs, io.EOF)
}

func suiteServerStreaming(t *testing.T, e *suiteEnv) {
	cs := e.open(t, suiteServerStreams, "StreamingOutputCall", &KeyValue{Key: "31415 9 2653 58979"})
	for _, n := range []int{31415, 9, 2653, 58979} {
		wantBody(t, cs, n)
	}
	wantStreamEnd(t, cs, io.EOF)
}

func suitePingPong(t *testing.T, e *suiteEnv) {
	cs := e.open(t, suiteBothStream, "FullDuplexCall", nil)
	for _, n := range []struct{ request, response int }{{27182, 31415}, {8, 9}, {1828, 2653}, {45904, 58979}} {
		mustSend(t, cs, orderSize(n.response, body(n.request)))
		wantBody(t, cs, n.response)
	}
	mustCloseSend(t, cs)
	wantStreamEnd(t, cs, io.EOF)
}

func suiteEmptyStream(t *testing.T, e *suiteEnv) {
	cs := e.open(t, suiteBothStream, "FullDuplexCall", nil)
	mustCloseSend(t, cs)
	wantStreamEnd(t, cs, io.EOF)
}

func suiteCustomMetadata(t *testing.T, e *suiteEnv) {
	const (
		key   = "x-grpc-test-echo-initial"
		other = "x-grpc-test-echo-trailing-bin"
		value = "test_initial_metadata_value"
	)
	ctx := WithMetadata(e.ctx, MD{key: {value, "second"}, other: {"q6ur"}})
	for want, order := range map[string]*KeyValue{
		value + ",second": orderMetadata(key),
		"q6ur":            orderMetadata(other),
		"":                orderMetadata("absent"),
	} {
		var resp KeyValue
		if err := e.client.Call(ctx, suiteService, "UnaryCall", order, &resp); err != nil || resp.Value != want {
			t.Errorf("unary, %s: got %q, %v, want %q", order.Key, resp.Value, err, want)
		}
		cs, err := e.client.NewStream(ctx, suiteBothStream, suiteService, "FullDuplexCall", nil)
		if err != nil {
			t.Fatal(err)
		}
		mustSend(t, cs, order)
		var m KeyValue
		if err := cs.RecvMsg(&m); err != nil || m.Value != want {
			t.Errorf("stream, %s: got %q, %v, want %q", order.Key, m.Value, err, want)
		}
		mustCloseSend(t, cs)
		wantStreamEnd(t, cs, io.EOF)
	}
}

func suiteStatusCodeAndMessage(t *testing.T, e *suiteEnv) {
	suiteStatus(t, e, "test status message")
}

func suiteSpecialStatusMessage(t *testing.T, e *suiteEnv) {
	suiteStatus(t, e, "\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n")
}

func suiteStatus(t *testing.T, e *suiteEnv, message string) {
	order := orderStatus(codes.Unknown, message)
	err := e.client.Call(e.ctx, suiteService, "UnaryCall", order, &KeyValue{})
	wantStatus(t, err, codes.Unknown, message)

	cs := e.open(t, suiteBothStream, "FullDuplexCall", nil)
	mustSend(t, cs, order)
	for i := 0; i < 2; i++ {
		wantStatus(t, cs.RecvMsg(&KeyValue{}), codes.Unknown, message)
	}
}

func suiteUnimplementedMethod(t *testing.T, e *suiteEnv) {
	suiteUnimplemented(t, e, suiteService, "UnimplementedCall")
}

func suiteUnimplementedService(t *testing.T, e *suiteEnv) {
	suiteUnimplemented(t, e, "test.Unimplemented", "UnimplementedCall")
}

func suiteUnimplemented(t *testing.T, e *suiteEnv, service, method string) {
	err := e.client.Call(e.ctx, service, method, &KeyValue{}, &KeyValue{})
	if status.Code(err) != codes.Unimplemented {
		t.Errorf("unary: got %v, want Unimplemented", err)
	}
	for _, desc := range []*StreamDesc{suiteClientStreams, suiteServerStreams, suiteBothStream} {
		var req any
		if !desc.StreamingClient {
			req = &KeyValue{}
		}
		cs, err := e.client.NewStream(e.ctx, desc, service, method, req)
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < 2; i++ {
			if err := cs.RecvMsg(&KeyValue{}); status.Code(err) != codes.Unimplemented {
				t.Errorf("stream %+v: got %v, want Unimplemented", *desc, err)
			}
		}
	}
}

func suiteCancelAfterBegin(t *testing.T, e *suiteEnv) {
	ctx, cancel := context.WithCancel(e.ctx)
	cs, err := e.client.NewStream(ctx, suiteClientStreams, suiteService, "StreamingInputCall", nil)
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	wantStreamEnd(t, cs, context.Canceled)
}

func suiteCancelAfterFirstResponse(t *testing.T, e *suiteEnv) {
	ctx, cancel := context.WithCancel(e.ctx)
	defer cancel()
	cs, err := e.client.NewStream(ctx, suiteBothStream, suiteService, "FullDuplexCall", nil)
	if err != nil {
		t.Fatal(err)
	}
	mustSend(t, cs, orderSize(31415, body(27182)))
	wantBody(t, cs, 31415)
	cancel()
	wantStreamEnd(t, cs, context.Canceled)
}

// The server sleeps as its handler waits for a message that does not come.
func suiteTimeoutOnSleepingServer(t *testing.T, e *suiteEnv) {
	ctx, cancel := context.WithTimeout(e.ctx, 20*time.Millisecond)
	defer cancel()
	cs, err := e.client.NewStream(ctx, suiteBothStream, suiteService, "FullDuplexCall", nil)
	if err == nil {
		wantStreamEnd(t, cs, context.DeadlineExceeded)
	} else if err != context.DeadlineExceeded {
		t.Errorf("NewStream: got %v, want DeadlineExceeded", err)
	}
}

func suiteConcurrentLargeUnary(t *testing.T, e *suiteEnv) {
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

// suiteSoak is some of everything at once, for a moment; `make soak` is more.
func suiteSoak(t *testing.T, e *suiteEnv) {
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

var soakSteps = []func(*suiteEnv, *rand.Rand) error{
	func(e *suiteEnv, r *rand.Rand) error {
		return e.unarySizes(r.Intn(20000), r.Intn(20000))
	},
	func(e *suiteEnv, r *rand.Rand) error {
		if err := e.client.Call(e.ctx, suiteService, "UnaryCall", orderStatus(codes.DataLoss, "lost"), &KeyValue{}); status.Code(err) != codes.DataLoss {
			return fmt.Errorf("got %v, want DataLoss", err)
		}
		return nil
	},
	func(e *suiteEnv, r *rand.Rand) error {
		sizes := []int{r.Intn(10), r.Intn(5000), r.Intn(20000)}
		req := &KeyValue{Key: strings.Trim(fmt.Sprint(sizes), "[]")}
		cs, err := e.client.NewStream(e.ctx, suiteServerStreams, suiteService, "StreamingOutputCall", req)
		if err != nil {
			return err
		}
		for _, n := range sizes {
			var m KeyValue
			if err := cs.RecvMsg(&m); err != nil {
				return err
			}
			if err := checkBody(&m, n); err != nil {
				return err
			}
		}
		if err := cs.RecvMsg(&KeyValue{}); err != io.EOF {
			return fmt.Errorf("after the last message: got %v, want EOF", err)
		}
		return nil
	},
	func(e *suiteEnv, r *rand.Rand) error {
		ctx, cancel := context.WithCancel(e.ctx)
		defer cancel()
		cs, err := e.client.NewStream(ctx, suiteBothStream, suiteService, "FullDuplexCall", nil)
		if err != nil {
			return err
		}
		for i := r.Intn(5); i >= 0; i-- {
			n := r.Intn(5000)
			if err := cs.SendMsg(orderSize(n, body(r.Intn(5000)))); err != nil {
				return err
			}
			var m KeyValue
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
		if err := cs.RecvMsg(&KeyValue{}); err != io.EOF {
			return fmt.Errorf("after CloseSend: got %v, want EOF", err)
		}
		return nil
	},
	func(e *suiteEnv, r *rand.Rand) error {
		ctx, cancel := context.WithTimeout(e.ctx, time.Duration(r.Intn(300))*time.Microsecond)
		defer cancel()
		var resp KeyValue
		err := e.client.Call(ctx, suiteService, "UnaryCall", orderSize(100, body(r.Intn(5000))), &resp)
		if err == context.DeadlineExceeded {
			return nil
		}
		if err != nil {
			return err
		}
		return checkBody(&resp, 100)
	},
}
