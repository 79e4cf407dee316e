package main

import (
	"math/rand/v2"
	"slices"
	"time"
)

// faultKind is a kind of fault, by the name that the ledger prints.
type faultKind string

const (
	daemonStopped    faultKind = "daemon stopped and continued"
	daemonKilled     faultKind = "daemon killed, restarted"
	daemonTerminated faultKind = "daemon terminated, restarted"
	daemonLimited    faultKind = "daemon out of descriptors"
	shimStopped      faultKind = "shim stopped and continued"
	shimKilled       faultKind = "shim killed"
	shimTerminated   faultKind = "shim terminated"
	shimLimited      faultKind = "shim out of descriptors"
	rootFull         faultKind = "disk full: database, work directories"
	stateFull        faultKind = "disk full: bundles"
	runFull          faultKind = "disk full: sockets, state of runc"

	// daemonCrashed is none that is injected, but explains errors after a failure.
	daemonCrashed faultKind = "daemon ended by itself, restarted"
)

var faultKinds = []faultKind{
	daemonStopped, daemonKilled, daemonTerminated, daemonLimited,
	shimStopped, shimKilled, shimTerminated, shimLimited,
	rootFull, stateFull, runFull,
}

// ofShim reports whether a fault of this kind strikes one container only.
func (k faultKind) ofShim() bool {
	return k == shimStopped || k == shimKilled || k == shimTerminated || k == shimLimited
}

// endsShim reports whether a shim does not outlive a fault of this kind.
func (k faultKind) endsShim() bool { return k == shimKilled || k == shimTerminated }

// endsDaemon reports whether a fault of this kind replaces the daemon.
func (k faultKind) endsDaemon() bool { return k == daemonKilled || k == daemonTerminated }

// delays reports whether a fault of this kind makes calls late, and is no reason for one
// to fail.
func (k faultKind) delays() bool { return k == daemonStopped || k == shimStopped }

// harms is the opposite of delays.
func harms(k faultKind) bool { return !k.delays() }

// fault is one fault of a storm.
type fault struct {
	kind  faultKind
	after time.Duration // from the beginning of the storm
	hold  time.Duration // until it is taken away
	pick  int           // chooses one of the shims that live at that time
	spare int           // descriptors above those in use, for a limit
}

// The bounds of a storm. No fault lasts nearly as long as commandLimit.
const (
	mostFaults = 3
	mostAfter  = time.Second
	leastHold  = 200 * time.Millisecond
	mostHold   = 3 * time.Second
	leastCalm  = 2 * time.Second
	mostCalm   = 5 * time.Second
	mostSpare  = 3
)

// storm is a few faults that overlap, each of another kind, and the calm after them. Two
// of one kind could give each other's limit back, or remove each other's file.
type storm struct {
	faults []fault
	calm   time.Duration
}

// forecast draws the storms of a run; its seed decides all of them. Kinds are dealt like
// cards, so that each occurs once before any occurs again.
type forecast struct {
	rng  *rand.Rand
	deck []faultKind
	only []faultKind // the kinds that may occur
}

func newForecast(seed uint64, only []faultKind) *forecast {
	return &forecast{rng: rand.New(rand.NewPCG(seed, 0)), only: only}
}

// next draws a storm. With keepDaemon it has no fault that replaces the daemon, and may
// be a lull.
func (f *forecast) next(keepDaemon bool) storm {
	var s storm
	for range 1 + f.rng.IntN(mostFaults) {
		drawn := fault{
			kind:  f.deal(),
			after: between(f.rng, 0, mostAfter),
			hold:  between(f.rng, leastHold, mostHold),
			pick:  f.rng.IntN(1 << 16),
			spare: f.rng.IntN(mostSpare + 1),
		}
		again := slices.ContainsFunc(s.faults, func(f fault) bool { return f.kind == drawn.kind })
		if !again && (!keepDaemon || !drawn.kind.endsDaemon()) {
			s.faults = append(s.faults, drawn)
		}
	}
	s.calm = between(f.rng, leastCalm, mostCalm)
	return s
}

func (f *forecast) deal() faultKind {
	if len(f.deck) == 0 {
		f.deck = append(f.deck, f.only...)
		f.rng.Shuffle(len(f.deck), func(i, j int) { f.deck[i], f.deck[j] = f.deck[j], f.deck[i] })
	}
	kind := f.deck[0]
	f.deck = f.deck[1:]
	return kind
}

func between(rng *rand.Rand, least, most time.Duration) time.Duration {
	return least + time.Duration(rng.Int64N(int64(most-least)+1))
}

// life is the fate of one container.
type life struct {
	detached bool          // else ctr waits for its end and removes it
	span     time.Duration // until it exits or is killed
	killed   bool          // else it exits by itself, with code
	code     int
	execs    []execPlan
	atOnce   bool // the execs run side by side
}

type execPlan struct {
	span time.Duration
	code int
}

const mostExecs = 3

func drawLife(rng *rand.Rand) life {
	l := life{
		detached: rng.IntN(4) > 0,
		span:     between(rng, 0, 1500*time.Millisecond),
		code:     rng.IntN(100),
		atOnce:   rng.IntN(2) == 0,
	}
	if !l.detached {
		return l
	}
	l.killed = rng.IntN(3) > 0
	if !l.killed {
		return l // an exec could come too late
	}
	for range rng.IntN(mostExecs + 1) {
		l.execs = append(l.execs, execPlan{between(rng, 0, 500*time.Millisecond), rng.IntN(100)})
	}
	return l
}
