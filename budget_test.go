package ttrpc

import (
	"context"
	"errors"
	"math/rand"
	"runtime"
	"sync"
	"testing"
)

// load returns the number of bytes that are taken and the number of waiting senders.
func (b *budget) load() (reserved, waiting int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.reserved, b.waitersLocked()
}

// A sender of any size gets room while less than the limit is taken. No sender overtakes a
// waiting one, and a closed budget refuses all senders.
func TestBudget(t *testing.T) {
	errBroken := errors.New("broken")
	type step struct {
		do   func(*budget) bool // reports whether a sender that tried got room
		want bool
	}
	try := func(n int) func(*budget) bool { return func(b *budget) bool { return b.tryTake(n) } }
	quiet := func(f func(*budget)) func(*budget) bool {
		return func(b *budget) bool { f(b); return true }
	}
	for _, test := range []struct {
		name     string
		steps    []step
		reserved int
		err      error // of a sender that comes then, with an ended context
	}{
		{"empty", nil, 0, nil},
		{"up to the limit", []step{{try(99), true}, {try(1), true}, {try(1), false}}, 100, context.Canceled},
		{"one over the limit", []step{{try(99), true}, {try(500), true}, {try(1), false}}, 599, context.Canceled},
		{"given back", []step{{try(100), true}, {quiet(func(b *budget) { b.give(1) }), true}, {try(7), true}}, 106, context.Canceled},
		{"overdrawn", []step{{try(100), true}, {quiet(func(b *budget) { b.overdraw(50) }), true}, {try(1), false},
			{quiet(func(b *budget) { b.give(51) }), true}, {try(1), true}}, 100, context.Canceled},
		{"closed", []step{{try(10), true}, {quiet(func(b *budget) { b.close(errBroken) }), true}, {try(1), false}}, 10, errBroken},
		{"closed twice", []step{{quiet(func(b *budget) { b.close(errBroken) }), true},
			{quiet(func(b *budget) { b.close(ErrClosed) }), true}, {try(1), false}}, 0, errBroken},
	} {
		b := &budget{limit: 100}
		for i, step := range test.steps {
			if got := step.do(b); got != step.want {
				t.Errorf("%s: step %d: got %v, want %v", test.name, i, got, step.want)
			}
		}
		if n, _ := b.load(); n != test.reserved {
			t.Errorf("%s: %d bytes are taken, want %d", test.name, n, test.reserved)
		}
		ended, cancel := context.WithCancel(context.Background())
		cancel()
		if err := b.take(ended, nil, 1); err != test.err {
			t.Errorf("%s: take: got %v, want %v", test.name, err, test.err)
		}
		if _, waiting := b.load(); waiting != 0 {
			t.Errorf("%s: %d senders wait", test.name, waiting)
		}
	}
}

// takeWaiting starts a sender that waits for n bytes.
func takeWaiting(t *testing.T, b *budget, ctx context.Context, over <-chan struct{}, n int) <-chan error {
	t.Helper()
	_, before := b.load()
	result := goErr(func() error { return b.take(ctx, over, n) })
	waitFor(t, "the sender to wait", func() bool {
		_, waiting := b.load()
		return waiting == before+1
	})
	return result
}

// Senders get room in the order of their arrival. A sender that arrives while others wait
// queues behind them even if there is room for it.
func TestBudgetOrder(t *testing.T) {
	b := &budget{limit: 100}
	b.tryTake(100)
	ctx := context.Background()
	first := takeWaiting(t, b, ctx, nil, 100)
	second := takeWaiting(t, b, ctx, nil, 1)
	b.give(100) // the first gets all of it
	if err := within(t, "the first", first); err != nil {
		t.Fatal(err)
	}
	if n, waiting := b.load(); n != 100 || waiting != 1 {
		t.Fatalf("%d bytes are taken and %d senders wait, want 100 and the second", n, waiting)
	}
	b.mu.Lock()
	b.reserved = 0 // room, and nobody told the second of it
	b.mu.Unlock()
	if b.tryTake(1) {
		t.Error("a third overtakes the second")
	}
	b.give(0)
	if err := within(t, "the second", second); err != nil {
		t.Error(err)
	}
}

// A wait ends with the context, with the stream, and with the budget, and then takes
// nothing.
func TestBudgetWaitEnds(t *testing.T) {
	errBroken := errors.New("broken")
	for _, test := range []struct {
		name string
		end  func(b *budget, cancel func(), over chan struct{})
		want error
	}{
		{"context", func(_ *budget, cancel func(), _ chan struct{}) { cancel() }, context.Canceled},
		{"stream", func(_ *budget, _ func(), over chan struct{}) { close(over) }, ErrStreamClosed},
		{"budget", func(b *budget, _ func(), _ chan struct{}) { b.close(errBroken) }, errBroken},
	} {
		b := &budget{limit: 100}
		b.tryTake(100)
		ctx, cancel := context.WithCancel(context.Background())
		over := make(chan struct{})
		result := takeWaiting(t, b, ctx, over, 10)
		test.end(b, cancel, over)
		if err := within(t, test.name, result); err != test.want {
			t.Errorf("%s: got %v, want %v", test.name, err, test.want)
		}
		if n, waiting := b.load(); b.err == nil && n != 100 || waiting != 0 {
			t.Errorf("%s: %d bytes are taken and %d senders wait, want 100 and none", test.name, n, waiting)
		}
		cancel()
	}
}

// A sender that gives up waiting at the moment when it gets room gives the room back.
func TestBudgetGivenUp(t *testing.T) {
	b := &budget{limit: 100}
	for i := 0; i < 300; i++ {
		if !b.tryTake(100) {
			t.Fatalf("round %d: there is no room, although no sender has taken the %d reserved bytes", i, b.reserved)
		}
		ctx, cancel := context.WithCancel(context.Background())
		result := takeWaiting(t, b, ctx, nil, 50)
		b.mu.Lock()
		cancel()
		for j := 0; j < i%20; j++ {
			runtime.Gosched() // the sender sees its context's end, and waits for the lock
		}
		b.giveLocked(100)
		b.mu.Unlock()
		if err := within(t, "take", result); err == nil {
			b.give(50)
		} else if err != context.Canceled {
			t.Fatal(err)
		}
	}
	if n, waiting := b.load(); n != 0 || waiting != 0 {
		t.Errorf("%d bytes are taken and %d senders wait", n, waiting)
	}
}

// Senders that arrive, wait, give up and give back at the same time take no more than the
// limit allows, and leave nothing behind.
func TestBudgetRace(t *testing.T) {
	const limit, largest, senders, rounds = 100, 60, 8, 200
	b := &budget{limit: limit}
	var wg sync.WaitGroup
	for i := 0; i < senders; i++ {
		random := rand.New(rand.NewSource(int64(i)))
		wg.Add(1)
		go func() {
			defer wg.Done()
			for j := 0; j < rounds; j++ {
				n := 1 + random.Intn(largest)
				ctx, cancel := context.WithCancel(context.Background())
				if random.Intn(3) == 0 {
					go cancel()
				}
				taken := random.Intn(4) == 0 && b.tryTake(n) || b.take(ctx, nil, n) == nil
				if reserved, _ := b.load(); reserved >= limit+largest {
					t.Errorf("%d bytes are taken, over a limit of %d and one of %d", reserved, limit, largest)
				}
				if taken {
					runtime.Gosched()
					b.give(n)
				}
				cancel()
			}
		}()
	}
	wg.Wait()
	if n, waiting := b.load(); n != 0 || waiting != 0 {
		t.Errorf("%d bytes are taken and %d senders wait", n, waiting)
	}
}
