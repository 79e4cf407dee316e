package workload

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"time"
)

// operation is the work that a caller repeats: a call, a whole stream, a round of a
// bidirectional stream. It returns an error or has done `units` of work.
type operation struct {
	do    func(ctx context.Context) error
	units int
	// before, if any, precedes each operation and is not timed.
	before func(ctx context.Context) error
}

// group is a number of callers that start together, first to warm up and then
// to be measured.
type group struct {
	wg    sync.WaitGroup
	mu    sync.Mutex
	err   error // the first one
	total histogram
	last  time.Time // when the last caller stopped
}

// run lets each operation be repeated by a caller of its own until the deadline
// and returns when all callers have stopped. Each caller allocates
// before `begin` is called; the measured part starts when that returns.
func (g *group) run(ops []operation, warmup, measure time.Duration, begin func() error) (time.Duration, error) {
	var warm sync.WaitGroup
	warm.Add(len(ops))
	g.wg.Add(len(ops))
	start := make(chan struct{})
	var deadline time.Time // set before start is closed
	warmUntil := time.Now().Add(warmup)
	for _, op := range ops {
		go func() {
			defer g.wg.Done()
			h := new(histogram)
			// A context that can be cancelled, as a program's are, and not shared:
			// its lock is no part of the measurement.
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			err := op.repeat(ctx, h, warmUntil)
			*h = histogram{}
			warm.Done()
			<-start
			if err == nil {
				err = op.repeat(ctx, h, deadline)
			}
			g.finish(h, err)
		}()
	}
	warm.Wait()
	err := begin()
	began := time.Now()
	deadline = began.Add(measure)
	if err != nil {
		deadline = began
	}
	close(start)
	g.wg.Wait()
	if err == nil {
		err = g.err
	}
	return g.last.Sub(began), err
}

func (g *group) finish(h *histogram, err error) {
	now := time.Now()
	g.mu.Lock()
	defer g.mu.Unlock()
	g.total.add(h)
	if g.err == nil {
		g.err = err
	}
	if now.After(g.last) {
		g.last = now
	}
}

// repeat does op once at least and until the deadline. One reading of the clock
// an operation is enough where nothing comes before: each ends when the next
// begins.
func (op operation) repeat(ctx context.Context, h *histogram, deadline time.Time) error {
	last := time.Now()
	for {
		if op.before != nil {
			if err := op.before(ctx); err != nil {
				return err
			}
			last = time.Now()
		}
		if err := op.do(ctx); err != nil {
			return err
		}
		now := time.Now()
		h.record(now.Sub(last))
		if now.After(deadline) {
			return nil
		}
		last = now
	}
}

// RunCase is the client's work.
func RunCase(p Peer, addr string, c Case, prof *profile) (Result, error) {
	ctl, err := dialControl(addr)
	if err != nil {
		return Result{}, err
	}
	defer ctl.conn.Close()
	if c.Held() > 0 {
		return runIdle(p, addr, c, ctl)
	}
	conns := make([]Conn, c.Conns)
	for i := range conns {
		if conns[i], err = p.Dial(addr, c.Options); err != nil {
			return Result{}, fmt.Errorf("dial: %w", err)
		}
		defer conns[i].Close()
	}
	var rounds int // for one millisecond of Burn
	if c.Kind == Busy || c.Kind == Cores {
		rep, err := ctl.ask(calibrate)
		if err != nil {
			return Result{}, err
		}
		rounds = rep.RoundsPerMillisecond
	}
	ops, err := operations(c, conns, rounds, func() (Conn, error) { return p.Dial(addr, c.Options) })
	if err != nil {
		return Result{}, err
	}
	stop, err := startBeside(c, conns, rounds)
	if err != nil {
		return Result{}, err
	}
	defer stop()
	res, err := measure(c, ops, ctl, prof)
	if c.Kind == Cores {
		ideal := float64(c.Work) / float64(runtime.NumCPU())
		res.CoresUsed = ideal / res.Time
	}
	return res, err
}

// measure takes the readings of both processes around the load.
func measure(c Case, ops []operation, ctl *control, prof *profile) (Result, error) {
	var before, after reply
	var mine, mineAfter Usage
	g := new(group)
	took, err := g.run(ops, c.Warmup, c.Measure, func() (err error) {
		if before, err = ctl.ask(begin); err != nil {
			return err
		}
		if err = prof.start(); err != nil {
			return err
		}
		mine, err = readUsage()
		return err
	})
	if err != nil {
		return Result{}, err
	}
	if mineAfter, err = readUsage(); err != nil {
		return Result{}, err
	}
	if after, err = ctl.ask(end); err != nil {
		return Result{}, err
	}
	if err := prof.stop(); err != nil {
		return Result{}, err
	}
	units := float64(ops[0].units)
	n := float64(g.total.n) * units
	return Result{
		Calls:        int(n),
		Time:         float64(took) / n,
		P50:          g.total.quantile(0.5) / units,
		P99:          g.total.quantile(0.99) / units,
		Max:          float64(g.total.max) / units,
		ClientCPU:    float64(mineAfter.CPU-mine.CPU) / n,
		ServerCPU:    float64(after.Usage.CPU-before.Usage.CPU) / n,
		ClientAllocs: float64(mineAfter.Mallocs-mine.Mallocs) / n,
		ServerAllocs: float64(after.Usage.Mallocs-before.Usage.Mallocs) / n,
		ClientBytes:  float64(mineAfter.Bytes-mine.Bytes) / n,
		ServerBytes:  float64(after.Usage.Bytes-before.Usage.Bytes) / n,
	}, nil
}
