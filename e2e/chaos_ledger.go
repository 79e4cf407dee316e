package main

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// record is the account of one container. The ledger's lock guards it.
type record struct {
	id      string
	from    time.Time // before its first command
	to      time.Time // after its last; zero while it lives
	watched bool      // the follower of events listened from before its beginning

	started   bool
	startFail string // ctr's error, if the start failed
	exitEvent bool
	deleted   bool // the daemon deleted its task, and so told of its end
	removed   bool // the daemon knows it no more
	execs     int
	execsFail int
}

// ending says how a container's end was seen.
type ending string

const (
	byEvent    ending = "ended, exit event seen"
	byDeletion ending = "ended, task deleted as stopped"
	withShim   ending = "ended, gone after a fault"
	notSeen    ending = "not accounted for"
)

// end judges a record at the end of a run. touched are the faults during its life.
func (r *record) end(touched []faultKind) ending {
	switch {
	case r.exitEvent:
		return byEvent
	case r.deleted:
		return byDeletion
	case r.removed && slices.ContainsFunc(touched, harms):
		return withShim
	}
	return notSeen
}

// ledger is the account of a run. Its methods may run concurrently.
type ledger struct {
	mu           sync.Mutex
	records      []*record
	byID         map[string]*record
	commands     int
	failed       int // commands whose exit code was not 0
	longest      ctrResult
	took         time.Duration  // of longest
	unknownCodes int            // of execs and containers whose shim was lost
	cleaned      map[string]int // remains of containers that a fault struck, by kind
	left         map[string]int // things left at last, by kind; all must be 0
	failures     []string
}

func newLedger() *ledger {
	l := &ledger{byID: map[string]*record{}, cleaned: map[string]int{}, left: map[string]int{}}
	for _, kind := range remainKinds {
		l.left[kind] = 0
	}
	return l
}

func (l *ledger) begin(id string, watched bool) *record {
	r := &record{id: id, from: time.Now(), watched: watched}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.records = append(l.records, r)
	l.byID[id] = r
	return r
}

// change calls f with the lock held.
func (l *ledger) change(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f()
}

// fail notes a failure of the run and returns how many there are.
func (l *ledger) fail(format string, args ...any) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failures = append(l.failures, strings.ReplaceAll(fmt.Sprintf(format, args...), "\n", "; "))
	return len(l.failures)
}

// exited notes the exit event of a container.
func (l *ledger) exited(id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if r := l.byID[id]; r != nil {
		r.exitEvent = true
	}
}

// ended counts a command of ctr.
func (l *ledger) ended(r ctrResult, took time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.commands++
	if r.code != 0 {
		l.failed++
	}
	if took > l.took {
		l.longest, l.took = r, took
	}
}

// settle judges all records, once nothing runs, and notes as failures those that the
// faults do not explain.
func (l *ledger) settle(faults *faultLog) map[ending]int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := make(map[ending]int)
	for _, r := range l.records {
		if !r.removed {
			l.failures = append(l.failures, r.id+" was not removed")
		}
		if !r.started {
			if r.startFail == "" {
				l.failures = append(l.failures, r.id+" did not start, and there was no error")
			}
			continue
		}
		touched := faults.touching(r.id, r.from, r.to)
		end := r.end(touched)
		n[end]++
		if end == notSeen {
			l.failures = append(l.failures, fmt.Sprintf("%s: its end was not seen (%v)", r.id, touched))
		}
		harmed := slices.ContainsFunc(touched, harms)
		if r.watched && !harmed && !r.exitEvent {
			l.failures = append(l.failures, fmt.Sprintf("%s: its exit event was lost (%v)", r.id, touched))
		}
	}
	return n
}

// tally is the sum of all records.
type tally struct {
	started, refused, struck, calm int
	execs, execsFail               int
}

func (l *ledger) tallyLocked(faults *faultLog) tally {
	var t tally
	for _, r := range l.records {
		touched := faults.touching(r.id, r.from, r.to)
		if len(touched) == 0 {
			t.calm++
		}
		if r.started {
			t.started++
		} else {
			t.refused++
		}
		if r.started && slices.ContainsFunc(touched, faultKind.endsShim) {
			t.struck++
		}
		t.execs += r.execs
		t.execsFail += r.execsFail
	}
	return t
}

// print is the ledger's text, once it is settled.
func (l *ledger) print(title string, ends map[ending]int, faults *faultLog) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var b strings.Builder
	line := func(n int, text string) { fmt.Fprintf(&b, "%6d  %s\n", n, text) }
	fmt.Fprintf(&b, "Ledger of %s\n", title)
	t := l.tallyLocked(faults)
	line(len(l.records), "containers")
	line(t.started, "  started")
	line(t.refused, "  failed to start, by a fault")
	for _, end := range []ending{byEvent, byDeletion, withShim, notSeen} {
		line(ends[end], "  "+string(end))
	}
	line(t.struck, "  of these had their shim killed or terminated")
	line(t.calm, "  met no fault, and so no error")
	line(t.execs, "execs ended with the right code")
	line(t.execsFail, "execs failed, by a fault")
	line(l.unknownCodes, "exit codes of 255, of processes whose shim was lost")
	line(l.commands, "commands of ctr, the longest of "+l.took.Round(10*time.Millisecond).String()+": "+l.command())
	line(l.failed, "commands failed or passed on an exit code")
	n := faults.counts()
	for _, kind := range faultKinds {
		line(n[kind], "fault: "+string(kind))
	}
	for _, kind := range remainKinds {
		if l.cleaned[kind] > 0 {
			line(l.cleaned[kind], "left by a fault and cleaned up: "+kind)
		}
	}
	for _, kind := range remainKinds {
		line(l.left[kind], "left: "+kind)
	}
	return b.String()
}

// command names the longest command without its options.
func (l *ledger) command() string {
	args := l.longest.args
	if len(args) > 2 {
		args = args[:2]
	}
	return strings.Join(args, " ")
}
