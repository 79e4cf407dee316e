package ttrpc

import (
	"context"
	"runtime"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/status"
)

// A handler that ends its goroutine has not panicked, and the client is told so.
func TestGoexitText(t *testing.T) {
	desc := echoMethods()
	desc.Methods["Goexit"] = func(context.Context, func(any) error) (any, error) { runtime.Goexit(); return nil, nil }
	quiet := func(context.Context, string, any, []byte) error { return nil }
	_, addr := newTestServer(t, desc, WithServerPanicHandler(quiet))
	err := dialTest(t, addr).Call(testContext(t), testService, "Goexit", text("x"), &KeyValue{})
	if got := status.Convert(err).Message(); !strings.Contains(got, "ended its goroutine") {
		t.Errorf("got %q", got)
	}
}

// The running time of each call counts for its method.
func TestMethodCostOfCalls(t *testing.T) {
	desc := echoMethods()
	desc.Methods["Slow"] = func(_ context.Context, um func(any) error) (any, error) {
		defer func(start time.Time) {
			for time.Since(start) <= 2*quickHandler {
				runtime.Gosched()
			}
		}(time.Now())
		return text("x"), um(&KeyValue{})
	}
	c, s := newTestPair(t, desc)
	makeQuick(t, s, "Slow")
	m, _ := s.services.Load().find([]byte(testService), []byte("Slow"))
	for i := 0; m.cost.below(quickHandler); i++ {
		if i == 1000 {
			t.Fatal("the method counts as quick")
		}
		if err := c.Call(testContext(t), testService, "Slow", text("x"), &KeyValue{}); err != nil {
			t.Fatal(err)
		}
	}
}
