package workload

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// startBeside starts all that the case has beside its callers. It stops when the
// returned function is called.
func startBeside(c Case, conns []Conn, rounds int) (stop func(), err error) {
	var stops []func()
	stop = func() {
		for _, s := range stops {
			s()
		}
	}
	if c.Kind == Busy {
		s, err := keepBusy(c, conns[len(conns)-1], rounds)
		if err != nil {
			return nil, err
		}
		stops = append(stops, s)
	}
	if c.IdleStream {
		s, err := keepStream(c, conns[0])
		if err != nil {
			stop()
			return nil, err
		}
		stops = append(stops, s)
	}
	if c.Unread > 0 {
		s, err := keepUnread(c, conns[0])
		if err != nil {
			stop()
			return nil, err
		}
		stops = append(stops, s)
	}
	if c.Hogs > 0 {
		stops = append(stops, startHogs(c.Hogs))
	}
	return stop, nil
}

// startHogs has goroutines that compute all the time.
func startHogs(n int) (stop func()) {
	var stopping atomic.Bool
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			for !stopping.Load() {
				burn(100_000)
			}
		})
	}
	return func() { stopping.Store(true); wg.Wait() }
}

// keepStream has a stream open on conn that had one message to and fro and rests.
func keepStream(c Case, conn Conn) (stop func(), err error) {
	ctx, cancel := context.WithCancel(context.Background())
	st, err := conn.Stream(ctx, BidiStream, makePayload(c.Size))
	if err == nil {
		err = streamRound(st, c.Size)
	}
	if err != nil {
		cancel()
		return nil, err
	}
	return cancel, nil
}

// unreadTime is long enough for everything to stand still that does.
const unreadTime = 300 * time.Millisecond

// keepUnread has c.Unread streams from the server on conn whose messages are not received,
// and as many in both directions whose handlers send, as nobody receives, and stop to
// receive.
func keepUnread(c Case, conn Conn) (stop func(), err error) {
	ctx, cancel := context.WithCancel(context.Background())
	var streams []Stream
	for range c.Unread {
		from, err := conn.Stream(ctx, ServerStream, StreamSpec{Messages: math.MaxInt64, Size: c.Size}.Encode())
		if err != nil {
			cancel()
			return nil, err
		}
		both, err := conn.Stream(ctx, BidiStream, makePayload(c.Size))
		if err != nil {
			cancel()
			return nil, err
		}
		streams = append(streams, from, both)
		go func() {
			for both.Send() == nil {
			}
		}()
	}
	time.Sleep(unreadTime)
	return func() { cancel(); runtime.KeepAlive(streams) }, nil
}

// keepBusy has one more caller on conn whose handler is busy all the time. A
// failure of it panics: the case would measure nothing.
func keepBusy(c Case, conn Conn, rounds int) (stop func(), err error) {
	work := EncodeCount(int(c.Work))
	if c.Busy == Burn {
		work = EncodeCount(rounds * int(c.Work) / int(time.Millisecond))
	}
	call := conn.Unary(c.Busy, work)
	ctx, cancel := context.WithCancel(context.Background())
	if _, err := call(ctx); err != nil {
		cancel()
		return nil, fmt.Errorf("busy call: %w", err)
	}
	var stopping atomic.Bool
	var wg sync.WaitGroup
	wg.Go(func() {
		for !stopping.Load() {
			if _, err := call(ctx); err != nil {
				panic(errors.Join(errors.New("busy call"), err))
			}
		}
	})
	return func() { stopping.Store(true); wg.Wait(); cancel() }, nil
}
