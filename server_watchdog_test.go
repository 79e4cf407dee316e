package ttrpc

import (
	"testing"
	"time"
)

// The watchdog ends with the last connection of a server that accepts none.
func TestWatchdogEndsWithConns(t *testing.T) {
	for _, test := range []struct {
		state serverState
		conns int
		want  bool
	}{{serverOpen, 0, false}, {serverOpen, 1, false}, {serverClosed, 1, false}, {serverClosed, 0, true}} {
		s := &Server{state: test.state, conns: make(map[*serverConn]struct{})}
		for i := 0; i < test.conns; i++ {
			s.conns[&serverConn{}] = struct{}{}
		}
		s.endWatchdogLocked()
		if got := s.watchdog.ended; got != test.want {
			t.Errorf("%+v: got %v", test, got)
		}
	}
}

// The end stops the watchdog's goroutine, too.
func TestWatchdogEndStops(t *testing.T) {
	var wd watchdog
	wd.add(&serverConn{})
	wd.end()
	if !isClosed(wd.quit) {
		t.Error("the goroutine goes on")
	}
	wd.end()
}

// A server is busy when a request comes soon after another.
func TestServerBusy(t *testing.T) {
	s := &Server{cfg: serverConfig{busyInterval: time.Second}}
	for _, test := range []struct {
		now  time.Duration
		want bool
	}{{time.Hour, false}, {time.Hour + time.Second/2, true}, {time.Hour + 3*time.Second/2, false}} {
		if got := s.busy(int64(test.now)); got != test.want {
			t.Errorf("at %v: got %v", test.now, got)
		}
	}
}

// One goroutine is enough for all connections, and there is none after the end. The list
// keeps none of the connections that it has dropped.
func TestWatchdogGoroutines(t *testing.T) {
	settle(t) // the watchdogs of other tests end
	for _, test := range []struct {
		wd   *watchdog
		runs bool
	}{{&watchdog{runs: true}, true}, {&watchdog{ended: true}, false}} {
		wd := test.wd
		wd.add(&serverConn{})
		if n := len(goroutinesOf("ttrpc.(*watchdog)")); n > 0 || wd.runs != test.runs {
			t.Errorf("%d goroutines, runs: %v, want %v", n, wd.runs, test.runs)
		}
		list := wd.conns
		wd.look(0)
		if list[0] != nil {
			t.Error("the list keeps a connection that it has dropped")
		}
		wd.end()
	}
}
