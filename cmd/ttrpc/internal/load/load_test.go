package load

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func TestCalls(t *testing.T) {
	var n, at, most atomic.Int64
	res := Start(Plan{Callers: 4, Calls: 1000, Call: func(context.Context, int) error {
		most.Store(max(most.Load(), at.Add(1)))
		defer at.Add(-1)
		if n.Add(1)%10 == 0 {
			return status.Error(codes.NotFound, "no such thing")
		}
		return nil
	}}).Wait(context.Background())
	if res.Calls() != 1000 || res.Failed() != 100 || res.Errors[codes.NotFound] != 100 || most.Load() > 4 {
		t.Errorf("got %d calls, %v, %d at once", res.Calls(), res.Errors, most.Load())
	}
	if !strings.Contains(res.First[codes.NotFound], "no such thing") {
		t.Errorf("got %q", res.First)
	}
}

// A server that stops for a second delays, with a rate, all calls that should have begun
// then: half of them wait for more than half of that.
func TestCoordinatedOmission(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const stop = time.Second
		begin := time.Now()
		turn := make(chan bool, 1) // the server serves one at a time
		call := func(context.Context, int) error {
			turn <- true
			defer func() { <-turn }()
			if since := time.Since(begin); since >= stop && since < 2*stop {
				time.Sleep(2*stop - since)
			}
			return nil
		}
		res := Start(Plan{Callers: 2, For: 3 * time.Second, Rate: 100, Call: call}).Wait(context.Background())
		if res.Calls() != 300 {
			t.Errorf("%d calls, want 300", res.Calls())
		}
		long := 0
		for _, b := range res.Latency.Distribution() {
			if b.From > (stop / 2).Nanoseconds() {
				long += int(b.Count)
			}
		}
		if long < 45 || long > 55 {
			t.Errorf("%d calls waited for more than %v, want 50", long, stop/2)
		}
	})
}

// The rate is kept while the server is quick.
func TestRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		res := Start(Plan{Callers: 8, For: 2 * time.Second, Rate: 50, Call: func(context.Context, int) error {
			time.Sleep(30 * time.Millisecond)
			return nil
		}}).Wait(context.Background())
		if res.Calls() != 100 || res.Late != 0 {
			t.Errorf("%d calls, %v late", res.Calls(), res.Late)
		}
		if p := time.Duration(res.Latency.ValueAtQuantile(99)); p < 29*time.Millisecond || p > 31*time.Millisecond {
			t.Errorf("p99 is %v", p)
		}
	})
}

// The end of the context ends a run, and its calls do not count.
func TestStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		res := Start(Plan{Callers: 3, Rate: 1, Call: func(ctx context.Context, _ int) error { <-ctx.Done(); return ctx.Err() }}).Wait(ctx)
		if res.Calls() != 0 || res.Elapsed != time.Second {
			t.Errorf("%d calls, %v", res.Calls(), res.Elapsed)
		}
	})
}

func TestCodes(t *testing.T) {
	for err, want := range map[error]codes.Code{
		context.DeadlineExceeded: codes.DeadlineExceeded, errors.New("x"): codes.Unknown, status.Error(codes.Aborted, ""): codes.Aborted,
	} {
		if got := codeOf(err); got != want {
			t.Errorf("%v is %v, want %v", err, got, want)
		}
	}
}

func TestCharts(t *testing.T) {
	for _, values := range [][]int64{nil, {5}, {1000, 1000, 1000}, {1, 1_000_000_000}, {10_000, 12_000, 15_000, 90_000, 2_000_000}} {
		res := newResult()
		for _, v := range values {
			res.add(time.Duration(v), nil)
		}
		total := 0
		for _, b := range Bars(res.Latency, 12) {
			total += b.Count
		}
		if total != len(values) {
			t.Errorf("%v: the bars have %d calls", values, total)
		}
		var text, svg bytes.Buffer
		if err := errors.Join(WriteText(&text, res.Latency), WriteSVG(&svg, res.Latency, "a < b & c")); err != nil {
			t.Error(err)
		}
		if strings.Contains(svg.String(), "NaN") || strings.Contains(svg.String(), "Inf") {
			t.Errorf("%v:\n%s", values, svg.String())
		}
		dec := xml.NewDecoder(&svg)
		for {
			if _, err := dec.Token(); err == io.EOF {
				break
			} else if err != nil {
				t.Fatalf("%v: %v", values, err)
			}
		}
	}
}
