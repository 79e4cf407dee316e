package ttrpc

import (
	"context"
	"errors"
	"io"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// serveCause serves desc with a context that the function end ends with a cause.
func serveCause(t *testing.T, desc *ServiceDesc) (c *Client, end context.CancelCauseFunc) {
	t.Helper()
	s := newServer(t, desc, usuallyBusy)
	ctx, end := context.WithCancelCause(context.Background())
	t.Cleanup(func() { end(nil) })
	// With extensions the client may close before it has read the settings: then the
	// server's cause is ECONNRESET, not EOF.
	return serveTest(t, s, ctx, WithClientExtensions(false)), end
}

// At every end of a handler's context, its error and cause are those of package context,
// for the handler and for contexts that outlive the call.
func TestHandlerCause(t *testing.T) {
	why := errors.New("why")
	for _, test := range []struct {
		name       string
		timeout    time.Duration
		end        func(c *Client, endServe context.CancelCauseFunc)
		err, cause error
	}{
		{"deadline", 200 * time.Millisecond, func(*Client, context.CancelCauseFunc) {}, context.DeadlineExceeded, context.DeadlineExceeded},
		{"connection", 0, func(c *Client, _ context.CancelCauseFunc) { c.Close() }, context.Canceled, io.EOF},
		{"Serve", 0, func(_ *Client, end context.CancelCauseFunc) { end(why) }, context.Canceled, why},
	} {
		handlers := make(chan context.Context, 1)
		c, endServe := serveCause(t, &ServiceDesc{Methods: map[string]Method{
			"Wait": func(ctx context.Context, _ func(any) error) (any, error) {
				if err := context.Cause(ctx); err != nil {
					t.Errorf("%s: cause %v before the end", test.name, err)
				}
				handlers <- ctx
				<-ctx.Done()
				return nil, context.Cause(ctx)
			},
		}})
		ctx := context.Background() // a derived context has no cause of the connection's with a deadline
		if test.timeout != 0 {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, test.timeout)
			defer cancel()
		}
		result := make(chan error, 1)
		go func() { result <- c.Call(ctx, testService, "Wait", &KeyValue{}, &KeyValue{}) }()
		handler := within(t, "the handler", handlers)
		child, cancel := context.WithCancel(handler)
		defer cancel()
		test.end(c, endServe)
		if within(t, "the call", result) == nil {
			t.Errorf("%s: the call succeeded", test.name)
		}
		within(t, "the child's end", child.Done())
		c.Close()
		endServe(errors.New("later"))
		for _, ctx := range []context.Context{handler, child} {
			if err, cause := ctx.Err(), context.Cause(ctx); err != test.err || !errors.Is(cause, test.cause) {
				t.Errorf("%s: got %v, %v, want %v, %v", test.name, err, cause, test.err, test.cause)
			}
		}
	}
}

// If Serve's context ends after the context of the call, nothing changes, whether or not
// the handler has used its context before.
func TestHandlerCauseAfterCall(t *testing.T) {
	kept := make(chan context.Context, 1)
	keep := func(look bool) Method {
		return func(ctx context.Context, _ func(any) error) (any, error) {
			if look {
				ctx.Done()
			}
			kept <- ctx
			return &KeyValue{}, nil
		}
	}
	for _, method := range []string{"Keep", "Look"} {
		c, endServe := serveCause(t, &ServiceDesc{Methods: map[string]Method{"Keep": keep(false), "Look": keep(true)}})
		if err := c.Call(testContext(t), testService, method, &KeyValue{}, &KeyValue{}); err != nil {
			t.Fatal(err)
		}
		ctx := <-kept
		endServe(errors.New("later"))
		if err, cause := ctx.Err(), context.Cause(ctx); err != context.Canceled || cause != context.Canceled {
			t.Errorf("%s: got %v, %v, want Canceled", method, err, cause)
		}
	}
}

// A handler that keeps a part of its call does not keep the request.
func TestKeptContext(t *testing.T) {
	const calls, size = 10, 1 << 20
	var mu sync.Mutex
	var kept []any
	arrived, all := make(chan struct{}, calls), make(chan struct{})
	keep := func(ctx context.Context, more any) {
		child, cancel := context.WithTimeout(ctx, time.Hour)
		defer cancel()
		mu.Lock()
		kept = append(kept, ctx, context.WithoutCancel(ctx), child, more)
		mu.Unlock()
		arrived <- struct{}{}
		<-all // so that no request comes in the buffer of another
	}
	handler := func(decode bool) Method {
		return func(ctx context.Context, unmarshal func(any) error) (any, error) {
			keep(ctx, unmarshal)
			if !decode {
				return &KeyValue{}, nil
			}
			return &KeyValue{}, unmarshal(&KeyValue{})
		}
	}
	c, _ := newTestPair(t, &ServiceDesc{
		Methods: map[string]Method{"Decode": handler(true), "Ignore": handler(false)},
		Streams: map[string]Stream{"Stream": {StreamingClient: true, Handler: func(ctx context.Context, ss StreamServer) (any, error) {
			keep(ctx, ss)
			st := &ss.(*streamServer).call.stream
			waitFor(t, "a second message", func() bool {
				st.mu.Lock()
				defer st.mu.Unlock()
				return len(st.inbox.queue) == 2 // the inbox has grown out of its first place
			})
			return &KeyValue{}, ss.RecvMsg(&KeyValue{})
		}}},
	})
	ctx := testContext(t)
	before := heapInUse()
	for _, method := range []string{"Decode", "Ignore", "Stream"} {
		results := make(chan error, calls)
		for i := 0; i < calls; i++ {
			method := method
			go func() {
				req := &KeyValue{Value: strings.Repeat("x", size)}
				if method != "Stream" {
					results <- c.Call(ctx, testService, method, req, &KeyValue{})
					return
				}
				cs, err := c.NewStream(ctx, &StreamDesc{StreamingClient: true}, testService, method, req)
				if err == nil {
					if err := cs.SendMsg(req); err != nil { // which the handler does not receive
						t.Error(err)
					}
					err = cs.RecvMsg(&KeyValue{})
				}
				results <- err
			}()
		}
		for i := 0; i < calls; i++ {
			within(t, "the handler", arrived)
		}
		close(all)
		for i := 0; i < calls; i++ {
			if err := within(t, "the call", results); err != nil {
				t.Fatal(err)
			}
		}
		all = make(chan struct{})
	}
	// Messages that the handlers did not receive may still be on their way.
	waitFor(t, "the requests to be forgotten", func() bool { return heapInUse()-before <= calls*size/4 })
	runtime.KeepAlive(kept)
}
