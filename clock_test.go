package ttrpc

import "testing"

// The clock of pauses stands while there is none.
func TestPauseClockStands(t *testing.T) {
	var pc pauseClock
	pc.begin()
	pc.end()
	total := pc.total()
	for start := clock(); clock() == start; { // until the clock moves
	}
	if got := pc.total(); got != total {
		t.Errorf("the clock has moved from %v to %v without a pause", total, got)
	}
	if newReadClock().last.Load() == 0 {
		t.Error("a new clock of reads has no time")
	}
}
