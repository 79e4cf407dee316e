package ttrpc

import (
	"math"
	"testing"
)

// WithServerUntrustedPeers sets its documented limits, and options after it set others.
func TestUntrustedPeers(t *testing.T) {
	type limits struct {
		conn                      connConfig
		calls, handlers, metadata int
		conns                     connLimits
		goroutinePerCall          bool
	}
	preset := limits{connConfig{maxLength: 1 << 20, maxQueued: 1 << 20, maxInbox: 1 << 20}, 100, 1000, 64 << 10, connLimits{128, 8}, true}
	with := func(change func(*limits)) limits {
		l := preset
		change(&l)
		return l
	}
	for name, test := range map[string]struct {
		after []ServerOpt
		want  limits
	}{
		"alone":    {nil, preset},
		"calls":    {[]ServerOpt{WithServerMaxCalls(7)}, with(func(l *limits) { l.calls = 7 })},
		"handlers": {[]ServerOpt{WithServerMaxHandlers(7)}, with(func(l *limits) { l.handlers = 7 })},
		"metadata": {[]ServerOpt{WithServerMaxMetadata(7)}, with(func(l *limits) { l.metadata = 7 })},
		"conns":    {[]ServerOpt{WithServerMaxConns(7, 0)}, with(func(l *limits) { l.conns = connLimits{7, 0} })},
		"one of Limits": {[]ServerOpt{WithServerLimits(Limits{MaxMessageLength: 2 << 20})},
			with(func(l *limits) { l.conn.maxLength = 2 << 20 })},
		"Limits, twice": {[]ServerOpt{WithServerLimits(Limits{MaxMessageLength: 2 << 20}), WithServerLimits(Limits{MaxStreamBuffer: 7})},
			with(func(l *limits) { l.conn.maxInbox = 7 })},
	} {
		before := []ServerOpt{WithServerMaxCalls(3), WithServerMaxConns(3, 3), WithServerLimits(Limits{MaxStreamBuffer: 3}), WithServerUntrustedPeers()}
		s, err := NewServer(append(before, test.after...)...)
		if err != nil {
			t.Fatal(err)
		}
		c := s.cfg
		got := limits{c.conn, c.maxCalls, c.maxHandlers, c.maxMetadata, c.maxConns, c.goroutinePerCall}
		if got != test.want {
			t.Errorf("%s: got %+v, want %+v", name, got, test.want)
		}
	}
}

// The memory of a server with WithServerUntrustedPeers has the documented bound, and one
// user cannot take all of its calls.
func TestUntrustedPeersFigures(t *testing.T) {
	if untrustedConnsPerUID*untrustedCalls >= untrustedHandlers || untrustedConnsPerUID >= untrustedConns {
		t.Error("one user can take all of a server's calls or connections")
	}
	const m, s, w, d = 1 << 20, 1 << 20, 1 << 20, 64 << 10
	const call, conn int64 = s + 3*m + d*5/4 + 16<<10, 2*w + 2*m + 1<<20
	gib := func(bytes int64) float64 { return math.Round(10*float64(bytes)/(1<<30)) / 10 }
	if all := gib(untrustedHandlers*call + untrustedConns*conn); all != 4.6 {
		t.Errorf("all together: %v GiB, 4.6 in the documentation", all)
	}
	if user := gib(untrustedConnsPerUID * (untrustedCalls*call + conn)); user != 3.2 {
		t.Errorf("one user: %v GiB, 3.2 in the documentation", user)
	}
}
