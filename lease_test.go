package ttrpc

import (
	"fmt"
	"testing"
)

// leaseLoops is the largest number of read loops of a leaseWalker: one that may read, and
// others whose lease has expired while they run a handler.
const leaseLoops = 3

// loopState is the position of a read loop.
type loopState uint8

const (
	loopAbsent loopState = iota
	loopReads
	loopEnlists // has lent the right out
	loopAdds    // has enlisted the lease, and is to put it into the list
	loopHandles // runs the handler
)

// lookState is the position of the watchdog in its look at the lease.
type lookState uint8

const (
	lookRests lookState = iota
	lookExpires
	lookAsks    // whether the lease is in use
	lookDelists // it is not
	lookAsksAgain
	lookEnlists
)

// A leaseWalker makes the steps of read loops and of the watchdog in any order that is
// possible in a server, and checks the invariants after each step.
type leaseWalker struct {
	lease lease
	clock int64
	loops [leaseLoops]struct {
		state loopState
		start int64
	}
	look    lookState
	expired bool // in this look; another read loop is to be started after it
	list    int  // entries of the lease in the watchdog's list
	stolen  bool // a loop has reclaimed the right that another has lent
}

func newLeaseWalker() *leaseWalker {
	w := &leaseWalker{}
	w.loops[0].state = loopReads
	return w
}

// leaseMoves returns the moves by name. Each move reports whether it was possible.
func leaseMoves() (names []string, moves []func(*leaseWalker) bool) {
	for i := 0; i < leaseLoops; i++ {
		i := i
		names = append(names, fmt.Sprintf("loop %d goes on", i))
		moves = append(moves, func(w *leaseWalker) bool { return w.loop(i) })
	}
	return append(names, "the watchdog goes on, late", "the watchdog goes on, in time"),
		append(moves, func(w *leaseWalker) bool { return w.watch(true) }, func(w *leaseWalker) bool { return w.watch(false) })
}

// loop is serverConn.runHere, step by step.
func (w *leaseWalker) loop(i int) bool {
	l := &w.loops[i]
	switch l.state {
	case loopReads:
		w.clock++
		l.start, l.state = w.clock, loopEnlists
		w.lease.lend(l.start)
	case loopEnlists:
		l.state = loopHandles
		if w.lease.enlist() {
			l.state = loopAdds
		}
	case loopAdds:
		if w.look != lookRests {
			return false // the watchdog has its lock
		}
		w.list++
		l.state = loopHandles
	case loopHandles:
		l.state = loopAbsent
		own := w.lease.since.Load() == l.start
		if w.lease.reclaim(l.start) {
			l.state = loopReads
			w.stolen = !own
		}
	default:
		return false
	}
	return true
}

// watch is watchdog.look, step by step. If late is true, a lease in use has lasted too
// long.
func (w *leaseWalker) watch(late bool) bool {
	if late && w.look != lookExpires {
		return false // it makes no difference
	}
	switch w.look {
	case lookRests:
		if w.list == 0 {
			return false
		}
		w.look = lookExpires
	case lookExpires:
		now := w.clock
		if late {
			if w.free() < 0 {
				return false
			}
			now += 2 * int64(handlerGrace)
		}
		w.look = lookAsks
		if w.lease.expire(now) {
			w.expired = true
			w.endLook(true)
		}
	case lookAsks:
		if w.look = lookDelists; w.lease.inUse() {
			w.endLook(true)
		}
	case lookDelists:
		w.lease.delist()
		w.look = lookAsksAgain
	case lookAsksAgain:
		if w.look = lookEnlists; !w.lease.lent() {
			w.endLook(false)
		}
	case lookEnlists:
		w.endLook(w.lease.enlist())
	}
	return true
}

// endLook ends a look. keep is true if the lease stays in the list.
func (w *leaseWalker) endLook(keep bool) {
	w.look = lookRests
	if !keep {
		w.list--
	}
	if w.expired {
		w.expired = false
		w.loops[w.free()].state = loopReads
	}
}

// free returns the index of a loop that does not exist, or -1.
func (w *leaseWalker) free() int {
	for i := range w.loops {
		if w.loops[i].state == loopAbsent {
			return i
		}
	}
	return -1
}

// check returns an error that names the broken invariant.
func (w *leaseWalker) check() error {
	readers, adding, enlisting := 0, 0, 0
	for _, l := range w.loops {
		switch l.state {
		case loopReads:
			readers++
		case loopAdds:
			adding++
		case loopEnlists:
			enlisting++
		}
	}
	if w.lease.lent() {
		readers++
	}
	looks := w.look == lookDelists || w.look == lookAsksAgain || w.look == lookEnlists
	switch {
	case w.stolen:
		return fmt.Errorf("a loop has reclaimed what another has lent")
	case readers != 1:
		return fmt.Errorf("%d have the right to read or have lent it out", readers)
	case w.list+adding > 1 && !looks, w.list+adding > 2, w.list > 1:
		return fmt.Errorf("the lease is in the list %d times, and %d loops add it", w.list, adding)
	case w.lease.lent() && w.list+adding+enlisting == 0:
		return fmt.Errorf("the watchdog does not look at a lease that is lent out")
	}
	return nil
}

// state returns everything on which later moves depend. Of times it has only whether they
// are equal.
func (w *leaseWalker) state() string {
	s := fmt.Sprint(w.lease.lent(), w.lease.listed.Load(), w.lease.seen, w.look, w.list)
	for _, l := range w.loops {
		s += fmt.Sprint(l.state, l.state > loopReads && l.start == w.lease.since.Load())
	}
	return s
}

// In any order of the read loops and the watchdog, exactly one loop may read or has lent
// the right out. The lease is in the watchdog's list once, or about to enter it, while the
// right is lent out. When the handlers return, the watchdog comes to rest.
func TestLeaseWalk(t *testing.T) {
	names, moves := leaseMoves()
	seen := map[string]bool{newLeaseWalker().state(): true}
	for paths := [][]int{nil}; len(paths) > 0; {
		path := paths[0]
		paths = paths[1:]
		for m := range moves {
			next := append(append([]int(nil), path...), m)
			w := newLeaseWalker()
			possible, where := true, ""
			for i, m := range next {
				if possible = moves[m](w); !possible {
					break
				}
				where += "\n" + names[m]
				if err := w.check(); err != nil {
					t.Fatalf("after %d moves: %v%s", i+1, err, where)
				}
			}
			if !possible || seen[w.state()] {
				continue
			}
			seen[w.state()] = true
			paths = append(paths, next)
			if w.settle(); w.list != 0 || w.look != lookRests {
				t.Fatalf("the watchdog never rests%s", where)
			}
		}
	}
	if len(seen) < 100 {
		t.Errorf("the walk came to %d states, which is too few", len(seen))
	}
	t.Logf("%d states", len(seen))
}

// settle lets all handlers return, and the watchdog look a few times.
func (w *leaseWalker) settle() {
	for round := 0; round < 3; round++ {
		for i := range w.loops {
			for steps := 0; steps < 3 && w.loops[i].state > loopReads; steps++ {
				w.loop(i)
			}
		}
		for steps := 0; steps < 6 && w.watch(false); steps++ {
		}
	}
}

// A lease expires after handlerGrace and not before, once, and only while the right is lent
// out. The loop that lent the right cannot reclaim it then, even after another loop has
// lent it again.
func TestLease(t *testing.T) {
	const grace = int64(handlerGrace)
	l := new(lease) // each row goes on from the one before
	for _, test := range []struct {
		name string
		do   func(l *lease) bool
		want bool
	}{
		{"a new lease is lent", func(l *lease) bool { return l.lent() }, false},
		{"a new lease expires", func(l *lease) bool { return l.expire(10 * grace) }, false},
		{"a lent one is lent", func(l *lease) bool { l.lend(1); return l.lent() }, true},
		{"it expires at the limit", func(l *lease) bool { return l.expire(1 + grace) }, false},
		{"a third reclaims it", func(l *lease) bool { return l.reclaim(2) }, false},
		{"it is reclaimed", func(l *lease) bool { return l.reclaim(1) }, true},
		{"it is reclaimed again", func(l *lease) bool { return l.reclaim(1) }, false},
		{"it expires after that", func(l *lease) bool { return l.expire(10 * grace) }, false},
		{"the next expires", func(l *lease) bool { l.lend(5); return l.expire(6 + grace) }, true},
		{"it expires again", func(l *lease) bool { return l.expire(7 + grace) }, false},
		{"it is reclaimed late", func(l *lease) bool { return l.reclaim(5) }, false},
		{"late, while another is lent", func(l *lease) bool { l.lend(9 + grace); return l.reclaim(5) }, false},
		{"the first is enlisted", func(l *lease) bool { return l.enlist() }, true},
		{"it is enlisted twice", func(l *lease) bool { return l.enlist() }, false},
		{"it is enlisted again", func(l *lease) bool { l.delist(); return l.enlist() }, true},
		{"it is in use while lent", func(l *lease) bool { return l.inUse() }, true},
		{"and at the next look", func(l *lease) bool { l.reclaim(9 + grace); return l.inUse() }, true},
		{"and not after that", func(l *lease) bool { return l.inUse() }, false},
	} {
		if got := test.do(l); got != test.want {
			t.Errorf("%s: got %v, want %v", test.name, got, test.want)
		}
	}
}
