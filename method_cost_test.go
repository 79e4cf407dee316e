package ttrpc

import (
	"testing"
	"time"
)

// The average starts at the first sample, falls by a quarter of the difference and rises
// by a sixteenth, and a sample counts for ten times the limit at most.
func TestMethodCostAverage(t *testing.T) {
	const limit = 1000
	for _, test := range []struct {
		samples []time.Duration
		want    int64 // the average
	}{
		{[]time.Duration{0}, 0},
		{[]time.Duration{160}, 160},
		{[]time.Duration{160, 160}, 160},
		{[]time.Duration{160, 320}, 170},
		{[]time.Duration{320, 160}, 280},
		{[]time.Duration{0, 160}, 10},
		{[]time.Duration{160, 0}, 120},
		{[]time.Duration{9999}, 9999},
		{[]time.Duration{10_001}, 10_000},
		{[]time.Duration{0, time.Hour}, 625},
	} {
		var mc methodCost
		for _, d := range test.samples {
			mc.add(d, limit)
		}
		if got := mc.average.Load() - 1; got != test.want {
			t.Errorf("after %d the average is %d, want %d", test.samples, got, test.want)
		}
	}
}

// An average counts as low only when there is one, and only below the limit.
func TestMethodCostBelow(t *testing.T) {
	const limit = 1000
	var mc methodCost
	if mc.below(limit) {
		t.Error("before the first sample the average is below the limit")
	}
	for average, want := range map[time.Duration]bool{0: true, limit - 1: true, limit: false, limit + 1: false} {
		var mc methodCost
		mc.add(average, limit)
		if got := mc.below(limit); got != want {
			t.Errorf("an average of %d is below %d: %v", average, limit, got)
		}
	}
}
