package ttrpc

import (
	"context"
	"math/rand"
	"runtime"
	"sync"
	"testing"
)

// Serve, Shutdown, Close and calls in any order and at once: all return, with results
// that are true.
func TestRaceLifecycle(t *testing.T) {
	for round := 0; round < rounds(100); round++ {
		random := rand.New(rand.NewSource(int64(round)))
		raceLifecycle(t, random)
		if t.Failed() {
			t.Fatalf("in round %d", round)
		}
	}
}

func raceLifecycle(t *testing.T, random *rand.Rand) {
	ctx, cancel := context.WithTimeout(context.Background(), testTimeout)
	defer cancel()
	s, err := NewServer()
	if err != nil {
		t.Fatal(err)
	}
	s.RegisterService(testService, echoMethods())
	var ops []func()
	op := func(what string, f func() error, ok func(error) bool) {
		ops = append(ops, func() {
			if err := f(); !ok(err) {
				t.Errorf("%s: %v", what, err)
			}
		})
	}
	is := func(want error) func(error) bool { return func(err error) bool { return err == want } }
	n := lifecycleNets[random.Intn(len(lifecycleNets))]
	for i := 0; i < 2; i++ {
		l, dial := n.listen(t)
		op("Serve", func() error { return s.Serve(ctx, l) }, is(ErrServerClosed))
		for j := 0; j < 2; j++ {
			method := []string{"Echo", "Block"}[random.Intn(2)]
			op(method, func() error {
				nc, err := dial()
				if err != nil {
					return ErrClosed // the listener is
				}
				c := NewClient(nc)
				defer c.Close()
				return c.Call(ctx, testService, method, &KeyValue{}, &KeyValue{})
			}, func(err error) bool { return err == nil && method == "Echo" || refusedByShutdown(err) })
		}
	}
	op("Shutdown", func() error { return s.Shutdown(ctx) }, is(nil))
	op("Close", s.Close, is(nil))
	if random.Intn(2) == 0 {
		op("Close again", s.Close, is(nil))
	}
	op("Shutdown that does not wait", func() error {
		over, cancel := context.WithCancel(ctx)
		cancel()
		return s.Shutdown(over)
	}, func(err error) bool { return err == nil || err == context.Canceled })

	random.Shuffle(len(ops), func(i, j int) { ops[i], ops[j] = ops[j], ops[i] })
	var wg sync.WaitGroup
	for _, f := range ops {
		f, yields := f, random.Intn(20)
		wg.Add(1)
		go func() {
			defer wg.Done()
			for i := 0; i < yields; i++ {
				runtime.Gosched()
			}
			f()
		}()
	}
	wg.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.conns) > 0 || len(s.listeners) > 0 {
		t.Errorf("the closed server knows %d connections and %d listeners", len(s.conns), len(s.listeners))
	}
}
