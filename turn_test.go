package ttrpc

import (
	"fmt"
	"testing"
)

// A turnWalker makes the moves of a read loop, of receivers and of the timer in any order
// that is possible in a client, and checks the invariants after each move.
type turnWalker struct {
	turn      turn
	loopReads bool // the read loop believes that it holds the turn
	timer     bool // the timer runs
	leader    int  // the receiver that leads; -1 for none
	receivers [2]struct {
		slot
		waits bool // between takeOrPark and the end of the wait
	}
}

// newTurnWalker begins as Client.startReading does on a kernel socket.
func newTurnWalker() *turnWalker {
	w := &turnWalker{leader: -1}
	w.leave()
	return w
}

// turnMoves are the moves by name. Each reports whether it was possible.
var turnMoves = []struct {
	name string
	move func(*turnWalker) bool
}{
	{"receiver 0 waits", func(w *turnWalker) bool { return w.wait(0) }},
	{"receiver 1 waits", func(w *turnWalker) bool { return w.wait(1) }},
	{"receiver 0 is served", func(w *turnWalker) bool { return w.serve(0) }},
	{"receiver 1 is served", func(w *turnWalker) bool { return w.serve(1) }},
	{"receiver 0 gives up", func(w *turnWalker) bool { return w.giveUp(0) }},
	{"receiver 1 gives up", func(w *turnWalker) bool { return w.giveUp(1) }},
	{"the read loop steps down", (*turnWalker).stepDown},
	{"the read loop resumes", (*turnWalker).resume},
	{"the timer fires", (*turnWalker).fire},
}

func (w *turnWalker) wait(i int) bool {
	r := &w.receivers[i]
	if r.waits {
		return false
	}
	r.waits = true
	if w.turn.takeOrPark(&r.slot) {
		w.leader = i
	}
	return true
}

// serve lets the holder of the turn read a frame for receiver i.
func (w *turnWalker) serve(i int) bool {
	r := &w.receivers[i]
	if !r.waits || !w.loopReads && w.leader < 0 {
		return false
	}
	w.turn.unpark(&r.slot)
	r.waits = false
	if w.leader == i {
		w.pass()
	}
	return true
}

// giveUp ends the context of receiver i. A leader is interrupted.
func (w *turnWalker) giveUp(i int) bool {
	r := &w.receivers[i]
	if !r.waits {
		return false
	}
	w.turn.unpark(&r.slot)
	r.waits = false
	if w.leader == i {
		w.pass()
	}
	return true
}

// pass is Client.passTurn.
func (w *turnWalker) pass() {
	w.leader = -1
	if !w.turn.mayLeave() {
		w.giveBack()
		return
	}
	w.leave()
}

// giveBack is Client.giveBackLocked.
func (w *turnWalker) giveBack() {
	if w.turn.giveBack() {
		w.loopReads = true
	}
}

func (w *turnWalker) leave() {
	if w.turn.leave() {
		w.timer = true
	}
}

func (w *turnWalker) stepDown() bool {
	if !w.loopReads || !w.turn.mayLeave() {
		return false
	}
	w.loopReads = false
	w.leave()
	return true
}

func (w *turnWalker) resume() bool {
	if w.loopReads || len(w.turn.resume) == 0 {
		return false
	}
	<-w.turn.resume
	w.loopReads = true
	return true
}

func (w *turnWalker) fire() bool {
	if !w.timer {
		return false
	}
	again, giveBack := w.turn.expire()
	w.timer = again
	if giveBack {
		w.giveBack()
	}
	return true
}

// check returns an error that names the broken invariant.
func (w *turnWalker) check() error {
	resuming := len(w.turn.resume) > 0
	holders := 0
	for _, holds := range []bool{w.loopReads, resuming, w.leader >= 0} {
		if holds {
			holders++
		}
	}
	parked := 0
	for i := range w.receivers {
		if r := &w.receivers[i]; r.waits && w.leader != i {
			if !r.parked {
				return fmt.Errorf("receiver %d waits and is not parked", i)
			}
			parked++
		} else if r.parked {
			return fmt.Errorf("receiver %d is parked and does not wait", i)
		}
	}
	switch {
	case holders > 1:
		return fmt.Errorf("%d hold the turn", holders)
	case holders == 0 && !w.timer:
		return fmt.Errorf("nobody reads, and no timer runs")
	case holders == 0 && parked > 0:
		return fmt.Errorf("nobody reads, and %d receivers wait for that", parked)
	case holders == 0 != (w.turn.holder == heldByNobody), w.leader >= 0 != (w.turn.holder == heldByLeader):
		return fmt.Errorf("the turn is said to be with %v", w.turn.holder)
	case parked != w.turn.parked:
		return fmt.Errorf("%d are parked and %d are counted", parked, w.turn.parked)
	case w.timer != w.turn.timed:
		return fmt.Errorf("the timer runs: %v, and is said to: %v", w.timer, w.turn.timed)
	}
	return nil
}

// replay makes the moves of a path from the beginning, and reports whether the last one was
// possible.
func replay(path []int) (w *turnWalker, possible bool, err error) {
	w = newTurnWalker()
	for _, m := range path {
		if !turnMoves[m].move(w) {
			return w, false, nil
		}
		if err := w.check(); err != nil {
			return w, true, err
		}
	}
	return w, true, nil
}

// state returns everything on which later moves depend.
func (w *turnWalker) state() string {
	return fmt.Sprint(w.turn.holder, w.turn.parked, w.turn.timed, w.turn.used, w.turn.loopRuns, len(w.turn.resume),
		w.loopReads, w.timer, w.leader, w.receivers)
}

// In every state that moves lead to, there is one reader, or a timer that will make the
// read loop read. No receiver is parked while nobody reads. If only the timer and the read
// loop move, the read loop reads in the end, so that the end of the connection is noticed.
func TestTurnWalk(t *testing.T) {
	seen := map[string]bool{newTurnWalker().state(): true}
	for paths := [][]int{nil}; len(paths) > 0; {
		path := paths[0]
		paths = paths[1:]
		for m := range turnMoves {
			next := append(append([]int(nil), path...), m)
			w, possible, err := replay(next)
			if err != nil {
				t.Fatalf("after %s: %v", pathNames(next), err)
			}
			if !possible || seen[w.state()] {
				continue
			}
			seen[w.state()] = true
			paths = append(paths, next)
			for i := 0; w.leader < 0 && !w.loopReads; i++ {
				if i == 4 {
					t.Fatalf("after %s: the read loop never reads again", pathNames(next))
				}
				if !w.fire() && !w.resume() {
					t.Fatalf("after %s: nobody reads, and nothing happens", pathNames(next))
				}
			}
		}
	}
	if len(seen) < 30 {
		t.Errorf("the walk came to %d states, which is too few", len(seen))
	}
	t.Logf("%d states", len(seen))
}

func pathNames(path []int) (names []string) {
	for _, m := range path {
		names = append(names, turnMoves[m].name)
	}
	return names
}

// The timer goes on while receivers come and go. It gives the turn to the read loop if no
// receiver has led since the timer was started.
func TestTurnExpire(t *testing.T) {
	var tn turn
	var s slot
	if !tn.leave() {
		t.Fatal("leave does not start the timer")
	}
	if !tn.takeOrPark(&s) {
		t.Fatal("the turn of nobody is not taken")
	}
	if tn.leave() {
		t.Fatal("leave starts a timer that runs")
	}
	if again, giveBack := tn.expire(); !again || giveBack {
		t.Fatal("the timer ends although a receiver has led")
	}
	if again, giveBack := tn.expire(); again || !giveBack {
		t.Fatal("the timer does not give the turn to the read loop")
	}
	if !tn.giveBack() || tn.holder != heldByLoop {
		t.Fatalf("the read loop is not started: the turn is with %v", tn.holder)
	}
	tn.leave()
	if tn.giveBack() || tn.holder != heldByLoop || len(tn.resume) != 1 {
		t.Fatalf("the read loop is not woken: the turn is with %v", tn.holder)
	}
}
