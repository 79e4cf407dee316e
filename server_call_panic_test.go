package ttrpc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// misbehave does not return.
func misbehave(how string) {
	switch how {
	case "panic":
		panic("the handler's value")
	case "runtime error":
		var none []int
		_ = none[len(how)]
	case "goexit":
		runtime.Goexit()
	}
}

// misbehaving has methods of each kind that misbehave as the request asks.
func misbehaving() *ServiceDesc {
	desc := echoMethods()
	desc.Methods["Misbehave"] = func(_ context.Context, um func(any) error) (any, error) {
		var req KeyValue
		if err := um(&req); err != nil {
			return nil, err
		}
		misbehave(req.Value)
		return &req, nil
	}
	desc.Streams["MisbehaveStream"] = Stream{StreamingServer: true, Handler: func(_ context.Context, ss StreamServer) (any, error) {
		var req KeyValue
		if err := ss.RecvMsg(&req); err != nil {
			return nil, err
		}
		if err := ss.SendMsg(&req); err != nil {
			return nil, err
		}
		misbehave(req.Value)
		return nil, nil
	}}
	return desc
}

// A handler that panics, or ends its goroutine, gives the caller an Internal error and the
// log an entry with the stack. The process and the connection go on, even if the read loop
// itself runs the handler, as it does for quick methods.
func TestHandlerPanic(t *testing.T) {
	for _, how := range []string{"panic", "runtime error", "goexit"} {
		rec := newLogRecorder()
		s, addr := newTestServer(t, misbehaving(), WithServerLogger(rec))
		c := dialTest(t, addr)
		call := func(value string) error {
			return c.Call(testContext(t), testService, "Misbehave", &KeyValue{Value: value}, &KeyValue{})
		}
		for i := 0; i < 3; i++ {
			if err := call(how); status.Code(err) != codes.Internal || !strings.Contains(err.Error(), "/test.Service/Misbehave") {
				t.Errorf("%s: got %v, want Internal with the method", how, err)
			} else if strings.Contains(err.Error(), "the handler's value") {
				t.Errorf("%s: the panic's value went to the client: %v", how, err)
			}
			cs, err := c.NewStream(testContext(t), &StreamDesc{StreamingServer: true}, testService, "MisbehaveStream", &KeyValue{Value: how})
			if err != nil {
				t.Fatal(err)
			}
			var m KeyValue
			if err := cs.RecvMsg(&m); err != nil || m.Value != how {
				t.Errorf("%s: what was sent before: %v, %v", how, &m, err)
			}
			if err := cs.RecvMsg(&m); status.Code(err) != codes.Internal {
				t.Errorf("%s, stream: got %v, want Internal", how, err)
			}
			for j := 0; j < 200; j++ { // so that the method counts as quick
				if err := call("behave"); err != nil {
					t.Fatalf("%s: afterwards: %v", how, err)
				}
			}
		}
		line := rec.wait(t, "/test.Service/Misbehave", "server_call_panic_test.go", "misbehave")
		if how == "panic" && !strings.Contains(line, "the handler's value") {
			t.Errorf("%s: the log does not have the value: %s", how, line)
		}
		rec.wait(t, "/test.Service/MisbehaveStream", "server_call_panic_test.go")
		c.Close()
		serverIdle(t, s)
	}
}

// A panic in an interceptor counts as a panic in the handler.
func TestInterceptorPanic(t *testing.T) {
	rec := newLogRecorder()
	_, addr := newTestServer(t, echoMethods(), WithServerLogger(rec),
		WithUnaryServerInterceptor(func(context.Context, Unmarshaler, *UnaryServerInfo, Method) (any, error) { panic("unary") }),
		WithStreamServerInterceptor(func(context.Context, StreamServer, *StreamServerInfo, StreamHandler) (any, error) { panic("stream") }))
	c := dialTest(t, addr)
	if err := echo(testContext(t), c, "x"); status.Code(err) != codes.Internal {
		t.Errorf("got %v, want Internal", err)
	}
	cs, err := c.NewStream(testContext(t), &StreamDesc{StreamingClient: true}, testService, "Join", nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := cs.RecvMsg(&KeyValue{}); status.Code(err) != codes.Internal {
		t.Errorf("stream: got %v, want Internal", err)
	}
	rec.wait(t, "unary", "server_call_panic_test.go")
	rec.wait(t, "stream", "server_call_panic_test.go")
}

// A WithServerPanicHandler gets all details of a panic, and decides on the client's error.
func TestPanicHandler(t *testing.T) {
	type report struct {
		method, metadata string
		value            any
		stack            string
		err              error // of the context
	}
	reports := make(chan report, 1)
	var answer error
	rec := newLogRecorder()
	_, addr := newTestServer(t, misbehaving(), WithServerLogger(rec),
		WithUnaryServerInterceptor(func(ctx context.Context, um Unmarshaler, info *UnaryServerInfo, m Method) (any, error) {
			if info.FullMethod == "/test.Service/Fail" {
				misbehave("panic")
			}
			return m(ctx, um)
		}),
		WithServerPanicHandler(func(ctx context.Context, method string, value any, stack []byte) error {
			md, _ := GetMetadataValue(ctx, "k")
			reports <- report{method, md, value, string(stack), ctx.Err()}
			return answer
		}))
	c := dialTest(t, addr)
	ctx := WithMetadata(testContext(t), MD{"k": {"v"}})
	for _, test := range []struct {
		method, how string
		answer      error
		want        codes.Code
	}{
		{"Misbehave", "panic", nil, codes.Internal},
		{"Misbehave", "panic", status.Error(codes.DataLoss, "as the panic handler says"), codes.DataLoss},
		{"Misbehave", "panic", os.ErrNotExist, codes.NotFound},
		{"Misbehave", "goexit", nil, codes.Internal},
		{"Fail", "panic", nil, codes.Internal}, // in the interceptor
	} {
		answer = test.answer
		err := c.Call(ctx, testService, test.method, &KeyValue{Value: test.how}, &KeyValue{})
		if status.Code(err) != test.want {
			t.Errorf("%s, %v: got %v, want %v", test.how, test.answer, err, test.want)
		}
		r := within(t, "report", reports)
		if r.method != "/test.Service/"+test.method || r.metadata != "v" || r.err != nil || !strings.Contains(r.stack, "misbehave") {
			t.Errorf("%s: reported was %+v", test.how, r)
		}
		if want := map[string]any{"panic": "the handler's value"}[test.how]; r.value != want {
			t.Errorf("%s: the value is %v, want %v", test.how, r.value, want)
		}
	}
	if lines := rec.all(); len(lines) != 0 {
		t.Errorf("the log has lines in spite of the panic handler: %q", lines)
	}
}

// crashVariable is the environment variable that makes a child process of
// TestPanicHandlerCrashes crash.
const crashVariable = "TTRPC_TEST_CRASH"

// A panic handler that panics ends the process, for users who want no recovery.
func TestPanicHandlerCrashes(t *testing.T) {
	if os.Getenv(crashVariable) != "" {
		_, addr := newTestServer(t, misbehaving(), WithServerPanicHandler(
			func(_ context.Context, _ string, value any, _ []byte) error { panic(fmt.Sprint("crash: ", value)) }))
		ctx := testContext(t)
		dialTest(t, addr).Call(ctx, testService, "Misbehave", &KeyValue{Value: "panic"}, &KeyValue{})
		<-ctx.Done() // the call is answered before the process ends
		return
	}
	child := childTest(context.Background(), "TestPanicHandlerCrashes")
	child.Env = append(os.Environ(), crashVariable+"=1")
	out, err := child.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 2 || !bytes.Contains(out, []byte("panic: crash: the handler's value")) &&
		!bytes.Contains(out, []byte("crash: the handler's value")) {
		t.Errorf("the process ended with %v:\n%s", err, out)
	}
}

// The end of the process waits neither for a client that does not read its answer nor for
// room in the queue.
func TestPanicHandlerCrashesUnread(t *testing.T) {
	if kind := os.Getenv(crashVariable); kind != "" {
		ours, theirs := net.Pipe()
		s := newServer(t, nil, WithServerLimits(Limits{MaxPendingWrite: 1}), WithServerPanicHandler(
			func(context.Context, string, any, []byte) error { panic("crash") }))
		s.RegisterService(testService, misbehaving())
		s.startConn(s.newServing(context.Background()), ours)
		w := newWire(theirs)
		if kind == "no room" {
			w.request(1, "Misbehave", 0, &KeyValue{Value: "answer"})
			s.mu.Lock()
			conn := s.connsLocked()[0].conn
			s.mu.Unlock()
			waitFor(t, "a full queue", func() bool { return conn.ch.w.stuckSince.Load() != 0 })
		}
		w.request(3, "Misbehave", 0, &KeyValue{Value: "panic"})
		<-testContext(t).Done()
		return
	}
	for _, kind := range []string{"unread", "no room"} {
		ctx, cancel := context.WithTimeout(context.Background(), testTimeout/4)
		defer cancel()
		child := childTest(ctx, "TestPanicHandlerCrashesUnread")
		child.Env = append(os.Environ(), crashVariable+"="+kind)
		out, err := child.CombinedOutput()
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != 2 || !bytes.Contains(out, []byte("crash")) {
			t.Errorf("%s: the process ended with %v:\n%s", kind, err, out)
		}
	}
}
