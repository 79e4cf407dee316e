package workload

import (
	"testing"
	"time"
)

func TestHistogramBuckets(t *testing.T) {
	for i := range buckets - 1 {
		if got := bucket(time.Duration(lowest(i))); got != i {
			t.Fatalf("bucket(lowest(%d) = %d) = %d", i, lowest(i), got)
		}
		if got := bucket(time.Duration(lowest(i+1) - 1)); got != i {
			t.Fatalf("bucket(%d), the last one of bucket %d, = %d", lowest(i+1)-1, i, got)
		}
	}
	if got := bucket(time.Hour); got != buckets-1 {
		t.Errorf("bucket(1h) = %d, want the last one, %d", got, buckets-1)
	}
}

func TestHistogramQuantile(t *testing.T) {
	var a, b histogram
	for i := 1; i <= 1000; i++ {
		h := &a
		if i%2 == 0 {
			h = &b
		}
		h.record(time.Duration(i) * time.Microsecond)
	}
	a.add(&b)
	for _, tt := range []struct {
		q    float64
		want float64
	}{{0, 1e3}, {0.5, 500e3}, {0.99, 990e3}, {1, 1000e3}} {
		if got := a.quantile(tt.q); got < tt.want*0.98 || got > tt.want*1.02 {
			t.Errorf("quantile(%v) = %v, want %v within 2 %%", tt.q, got, tt.want)
		}
	}
	if a.max != time.Millisecond || a.n != 1000 {
		t.Errorf("max %v, n %d; want 1ms, 1000", a.max, a.n)
	}
}
