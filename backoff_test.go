package ttrpc

import "testing"

// skipped counts the uses until b is ready.
func (bo *backoff) skipped() (n int) {
	for !bo.ready() {
		n++
	}
	return n
}

// Each failure costs twice as many uses as the failure before, up to a limit. A time
// without a failure halves the number.
func TestBackoff(t *testing.T) {
	var b backoff
	if n := b.skipped(); n != 0 {
		t.Fatalf("%d uses are skipped before any failure", n)
	}
	want := firstBackoff
	for ; want <= maxBackoff; want *= 2 {
		b.failed()
		if n := b.skipped(); n != want {
			t.Fatalf("%d uses are skipped, want %d", n, want)
		}
	}
	b.failed()
	if n := b.skipped(); n != maxBackoff {
		t.Fatalf("%d uses are skipped, want %d at most", n, maxBackoff)
	}
	good := func(n int) {
		t.Helper()
		for i := 0; i < n; i++ {
			if !b.ready() {
				t.Fatalf("use %d of %d is skipped without a failure", i, n)
			}
		}
	}
	good(goodUses*maxBackoff - 2)
	b.failed()
	if n := b.skipped(); n != maxBackoff {
		t.Errorf("%d uses are skipped soon after a failure, want %d", n, maxBackoff)
	}
	good(goodUses * maxBackoff)
	b.failed()
	if n := b.skipped(); n != maxBackoff {
		t.Errorf("%d uses are skipped after half is forgotten, want twice that, %d", n, maxBackoff)
	}
	good(2*goodUses*maxBackoff + 20)
	if n := b.length.Load(); n != 0 {
		t.Errorf("a failure long ago still counts for %d", n)
	}

	// A failure before the chance is taken again begins the wait anew.
	b.failed()
	for i := 0; i < 10; i++ {
		for j := 0; j < firstBackoff-1; j++ {
			if b.ready() {
				t.Fatalf("a use is not skipped %d uses after a failure", j)
			}
		}
		b.failed()
	}
	if n := b.skipped(); n != firstBackoff {
		t.Errorf("%d uses are skipped after failures that cost nothing, want %d", n, firstBackoff)
	}
}

// A backoff is halved after just as many uses as it says, each time anew, and at the
// shortest one forgotten.
func TestBackoffForgets(t *testing.T) {
	var b backoff
	for i := 0; i < 2; i++ {
		b.failed()
		b.skipped()
	}
	uses := 1 // skipped has counted one
	for _, length := range []int{2 * firstBackoff, firstBackoff} {
		for ; uses <= goodUses*length; uses++ {
			if got := int(b.length.Load()); got != length {
				t.Fatalf("the length is %d after %d uses, want %d", got, uses, length)
			}
			b.ready()
		}
		uses = 0
	}
	if got := b.length.Load(); got != 0 {
		t.Errorf("the length is %d, want 0", got)
	}
}
