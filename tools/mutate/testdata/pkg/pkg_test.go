package pkg

import "testing"

func TestSum(t *testing.T) {
	if got := Sum(2, 1, 2, 3); got != 5 {
		t.Errorf("got %d, want 5", got)
	}
}

func TestCount(t *testing.T) {
	Count(3)
	Unguarded(new(int))
	if Last(true) != 1 {
		t.Error("not the last")
	}
}
