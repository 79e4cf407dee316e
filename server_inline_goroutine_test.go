package ttrpc

import (
	"context"
	"regexp"
	"runtime"
	"sync"
	"testing"
)

var goroutineIDs = regexp.MustCompile(`goroutine (\d+)`)

// goroutine returns the ids of the caller's goroutine and of its creator.
func goroutine() (id, creator string) {
	b := make([]byte, 16<<10)
	ids := goroutineIDs.FindAllSubmatch(b[:runtime.Stack(b, false)], -1)
	return string(ids[0][1]), string(ids[len(ids)-1][1])
}

// With WithServerGoroutinePerCall no goroutine runs two calls. No goroutine that has run a
// handler's code starts a call, which would inherit its labels.
func TestServerGoroutinePerCall(t *testing.T) {
	var mu sync.Mutex
	var method *method
	calls, creators := make(map[string]int), make(map[string]bool)
	desc := echoMethods()
	desc.Methods["Note"] = func(context.Context, func(any) error) (any, error) {
		id, creator := goroutine()
		mu.Lock()
		defer mu.Unlock()
		calls[id]++
		creators[creator] = true
		method.cost.average.Store(1) // as quick as can be
		return &KeyValue{}, nil
	}
	echoStream := desc.Streams["EchoStream"]
	streams := make(chan string, 1)
	desc.Streams["EchoStream"] = Stream{StreamingClient: true, StreamingServer: true, Handler: func(ctx context.Context, ss StreamServer) (any, error) {
		id, _ := goroutine()
		streams <- id
		return echoStream.Handler(ctx, ss)
	}}
	s, addr := newTestServer(t, desc, WithServerGoroutinePerCall())
	method, _ = s.services.Load().find([]byte(testService), []byte("Note"))
	ctx := testContext(t)
	c := dialTest(t, addr)
	cs, err := c.NewStream(ctx, &StreamDesc{StreamingClient: true, StreamingServer: true}, testService, "EchoStream", nil)
	if err != nil {
		t.Fatal(err)
	}
	const n = 100
	for i := 0; i < n; i++ {
		if err := cs.SendMsg(&KeyValue{}); err != nil {
			t.Fatal(err)
		}
		if err := cs.RecvMsg(&KeyValue{}); err != nil {
			t.Fatal(err)
		}
		if err := c.Call(ctx, testService, "Note", &KeyValue{}, &KeyValue{}); err != nil {
			t.Fatal(err)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if len(calls) != n {
		t.Errorf("%d calls ran on %d goroutines", n, len(calls))
	}
	if stream := <-streams; creators[stream] || len(creators) != 1 {
		t.Errorf("the goroutines %v started calls, one of a stream is %s", creators, stream)
	}
}
