// Package load calls a method again and again and measures how long the calls take.
package load

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/containerd/ttrpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// A Plan says how to call.
type Plan struct {
	Call    func(ctx context.Context, worker int) error
	Callers int
	For     time.Duration // how long calls begin; 0 for no end
	Calls   int           // how many; 0 for no end
	Rate    float64       // calls in a second, of all callers; 0 for as many as they can
}

const (
	// maxLatency is the longest time that is told apart.
	maxLatency = time.Hour

	digits = 3 // of a time are exact
)

// A Result has the times and the errors of a run. Latencies are in nanoseconds, of calls that succeeded and
// of those that failed.
//
// With a rate the latency of a call counts from when it should have begun: a server that
// stops for a second so shows in all the calls that had to wait for that, and not in the
// few alone that the callers had begun.
type Result struct {
	Elapsed time.Duration
	Latency *hdrhistogram.Histogram
	Errors  map[codes.Code]int
	First   map[codes.Code]string // the first message of each code
	Late    time.Duration         // with a rate: how far behind the last call began
}

func newResult() *Result {
	return &Result{
		Latency: hdrhistogram.New(1, maxLatency.Nanoseconds(), digits),
		Errors:  map[codes.Code]int{}, First: map[codes.Code]string{},
	}
}

// Calls returns the number of calls.
func (r *Result) Calls() int { return int(r.Latency.TotalCount()) }

// Failed returns the number of calls that failed.
func (r *Result) Failed() (n int) {
	for _, count := range r.Errors {
		n += count
	}
	return n
}

// add adds one call. A caller has a Result of its own, so that none waits for another.
func (r *Result) add(d time.Duration, err error) {
	r.Latency.RecordValue(min(max(d, 1), maxLatency).Nanoseconds())
	if err == nil {
		return
	}
	code := codeOf(err)
	if r.Errors[code]++; r.First[code] == "" {
		r.First[code] = err.Error()
	}
}

func codeOf(err error) codes.Code {
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return codes.DeadlineExceeded
	case errors.Is(err, ttrpc.ErrClosed):
		return codes.Unavailable
	}
	return status.Code(err)
}

func (r *Result) merge(other *Result) {
	r.Latency.Merge(other.Latency)
	for code, n := range other.Errors {
		if r.Errors[code] += n; r.First[code] == "" {
			r.First[code] = other.First[code]
		}
	}
	r.Late = max(r.Late, other.Late)
}

// A Run is a load that runs.
type Run struct {
	plan  Plan
	begin time.Time
	next  atomic.Int64 // the number of the next call
	done  atomic.Int64 // calls that have ended
	fails atomic.Int64
}

// Start prepares a run.
func Start(plan Plan) *Run { return &Run{plan: plan, begin: time.Now()} }

// Progress returns how many calls have ended, and how many of those failed.
func (r *Run) Progress() (elapsed time.Duration, done, failed int64) {
	return time.Since(r.begin), r.done.Load(), r.fails.Load()
}

// Wait calls until the plan is fulfilled or ctx ends. Calls that run when the time is over
// are waited for, and those that run when ctx ends do not count.
func (r *Run) Wait(ctx context.Context) *Result {
	results := make([]*Result, r.plan.Callers)
	var wg sync.WaitGroup
	for i := range results {
		results[i] = newResult()
		wg.Add(1)
		go func() { // a caller; it ends with the run
			defer wg.Done()
			r.caller(ctx, i, results[i])
		}()
	}
	wg.Wait()
	total := newResult()
	for _, res := range results {
		total.merge(res)
	}
	total.Elapsed = time.Since(r.begin)
	return total
}

// caller calls until there is nothing more to begin.
func (r *Run) caller(ctx context.Context, worker int, res *Result) {
	for {
		due, ok := r.wait(ctx)
		if !ok {
			return
		}
		begin := time.Now()
		if r.plan.Rate > 0 {
			res.Late = begin.Sub(due)
			begin = due
		}
		err := r.plan.Call(ctx, worker)
		if ctx.Err() != nil {
			return
		}
		res.add(time.Since(begin), err)
		r.done.Add(1)
		if err != nil {
			r.fails.Add(1)
		}
		if errors.Is(err, ttrpc.ErrClosed) {
			return // the connection has ended, and all further calls would fail at once
		}
	}
}

// wait returns when the next call is due. It reports false if there is none.
func (r *Run) wait(ctx context.Context) (due time.Time, ok bool) {
	n := r.next.Add(1) - 1
	if r.plan.Calls > 0 && n >= int64(r.plan.Calls) || ctx.Err() != nil {
		return due, false
	}
	due = time.Now()
	if r.plan.Rate > 0 {
		due = r.begin.Add(time.Duration(float64(n) / r.plan.Rate * float64(time.Second)))
	}
	if r.plan.For > 0 && due.Sub(r.begin) >= r.plan.For {
		return due, false
	}
	if early := time.Until(due); early > 0 {
		timer := time.NewTimer(early)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			return due, false
		}
	}
	return due, true
}
