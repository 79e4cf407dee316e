package workload

import (
	"math/bits"
	"time"
)

// histogram counts durations in buckets no wider than 1/64 of their value, in
// memory of a fixed size: recording must not allocate.
type histogram struct {
	counts [buckets]uint32
	n      int
	max    time.Duration
}

const (
	subBits = 6 // 64 buckets for each power of two
	// Durations up to 2^36 ns, over a minute; longer ones count as that.
	maxBits = 36
	buckets = (maxBits - subBits + 1) << subBits
)

func (h *histogram) record(d time.Duration) {
	h.n++
	h.max = max(h.max, d)
	h.counts[bucket(d)]++
}

func (h *histogram) add(o *histogram) {
	h.n += o.n
	h.max = max(h.max, o.max)
	for i, c := range o.counts {
		h.counts[i] += c
	}
}

// quantile returns the middle of the bucket that the q-th part of all
// durations, 0 ≤ q ≤ 1, does not exceed.
func (h *histogram) quantile(q float64) float64 {
	rank := int(q * float64(h.n-1))
	for i, c := range h.counts {
		if rank -= int(c); rank < 0 {
			return float64(lowest(i)+lowest(i+1)-1) / 2
		}
	}
	return 0
}

// bucket is exact below 2^subBits; above that it is the exponent and the subBits
// bits below the highest one.
func bucket(d time.Duration) int {
	v := uint64(max(d, 0))
	exp := bits.Len64(v) - 1 - subBits
	if exp < 0 {
		return int(v)
	}
	return min((exp+1)<<subBits+int(v>>exp)-1<<subBits, buckets-1)
}

// lowest is the smallest duration in a bucket.
func lowest(i int) int64 {
	if i < 1<<subBits {
		return int64(i)
	}
	exp := i>>subBits - 1
	return int64(i&(1<<subBits-1)|1<<subBits) << exp
}
