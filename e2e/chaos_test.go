package main

import (
	"math/rand/v2"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

func storms(seed uint64, n int, keepDaemon bool) []storm {
	weather := newForecast(seed, faultKinds)
	var list []storm
	for range n {
		list = append(list, weather.next(keepDaemon))
	}
	return list
}

func TestForecastIsDecidedBySeed(t *testing.T) {
	if !reflect.DeepEqual(storms(7, 50, false), storms(7, 50, false)) {
		t.Error("the same seed: want the same storms")
	}
	if reflect.DeepEqual(storms(7, 50, false), storms(8, 50, false)) {
		t.Error("another seed: want other storms")
	}
}

func TestForecast(t *testing.T) {
	for seed := range uint64(50) {
		// Each kind comes within two decks; a storm drops a kind that it has already.
		n := map[faultKind]int{}
		for _, s := range storms(seed, 2*len(faultKinds), false) {
			if len(s.faults) == 0 || len(s.faults) > mostFaults || s.calm < leastCalm || s.calm > mostCalm {
				t.Errorf("seed %d: %+v", seed, s)
			}
			own := map[faultKind]bool{}
			for _, f := range s.faults {
				n[f.kind]++
				if own[f.kind] || f.after > mostAfter || f.hold < leastHold || f.hold > mostHold || f.spare > mostSpare {
					t.Errorf("seed %d: %+v", seed, s)
				}
				own[f.kind] = true
			}
		}
		for _, kind := range faultKinds {
			if n[kind] == 0 {
				t.Errorf("seed %d: no %s", seed, kind)
			}
		}
		for _, s := range storms(seed, 50, true) {
			for _, f := range s.faults {
				if f.kind.endsDaemon() {
					t.Errorf("seed %d: %s, although the daemon is kept", seed, f.kind)
				}
			}
		}
	}
}

func TestDrawLife(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	var foreground, killed, exits, execs int
	for range 200 {
		l := drawLife(rng)
		switch {
		case !l.detached:
			foreground++
		case l.killed:
			killed++
		default:
			exits++
		}
		if !l.killed && len(l.execs) > 0 {
			t.Errorf("an exec could meet the container's own end: %+v", l)
		}
		execs += len(l.execs)
	}
	if foreground == 0 || killed == 0 || exits == 0 || execs == 0 {
		t.Errorf("%d, %d, %d and %d of 200 lives", foreground, killed, exits, execs)
	}
}

func TestChaosOptions(t *testing.T) {
	for _, args := range [][]string{{"-chaos", "-1s"}, {"-faults", "("}, {"-faults", "meteor"}} {
		if _, err := parseOptions(args); err == nil {
			t.Errorf("%q: want an error", args)
		}
	}
	o, err := parseOptions([]string{"-chaos", "1.5m", "-faults", "daemon killed"})
	if err != nil || o.chaos.Time != 90*time.Second || o.chaos.Seed == 0 || o.memory {
		t.Errorf("got %+v, %v", o, err)
	}
	if got := o.chaos.kinds(); !slices.Equal(got, []faultKind{daemonKilled}) {
		t.Errorf("got %q", got)
	}
}

func TestFaultsTouching(t *testing.T) {
	start := time.Now()
	at := func(s int) time.Time { return start.Add(time.Duration(s) * time.Second) }
	l := &faultLog{list: []*interval{
		{daemonStopped, "", at(1), at(2)},
		{shimKilled, "chaos-1", at(3), at(3)},
		{rootFull, "", at(5), time.Time{}}, // it lasts
	}}
	for _, c := range []struct {
		id       string
		from, to int
		want     []faultKind
	}{
		{"chaos-1", 0, 9, []faultKind{daemonStopped, shimKilled, rootFull}},
		{"chaos-2", 0, 9, []faultKind{daemonStopped, rootFull}},
		{"chaos-10", 3, 4, nil},
		{"chaos-1", 2, 2, []faultKind{daemonStopped}},
		{"chaos-1", 4, 4, nil},
		{"chaos-1", 7, 8, []faultKind{rootFull}},
	} {
		if got := l.touching(c.id, at(c.from), at(c.to)); !slices.Equal(got, c.want) {
			t.Errorf("%+v: got %q", c, got)
		}
	}
	end := l.begin(shimStopped, "chaos-1")
	if got := l.touching("chaos-1", time.Now(), time.Now()); !slices.Contains(got, shimStopped) {
		t.Errorf("while it lasts: got %q", got)
	}
	end()
	if got := l.counts(); got[shimStopped] != 1 || got[rootFull] != 1 || l.list[3].to.IsZero() {
		t.Errorf("got %v", got)
	}
}

// account is a ledger of one container, whose record f changes, under the fault.
func account(kind faultKind, f func(*record)) (*ledger, map[ending]int) {
	l, faults := newLedger(), &faultLog{}
	r := l.begin("chaos-1", true)
	if kind != "" {
		faults.begin(kind, "chaos-1")()
	}
	r.started, r.exitEvent, r.removed = true, true, true
	f(r)
	r.to = time.Now()
	return l, l.settle(faults)
}

func TestLedgerSettles(t *testing.T) {
	for _, c := range []struct {
		name string
		kind faultKind
		f    func(*record)
		end  ending
		fail string
	}{
		{"all well", "", func(*record) {}, byEvent, ""},
		{"never started", rootFull, func(r *record) { r.started, r.startFail = false, "ctr: x" }, "", ""},
		{"never started, no error", rootFull, func(r *record) { r.started = false }, "", "there was no error"},
		{"not removed", shimKilled, func(r *record) { r.removed = false }, byEvent, "not removed"},
		{"event lost by a fault", daemonKilled, func(r *record) { r.exitEvent, r.deleted = false, true }, byDeletion, ""},
		{"gone with its shim", shimKilled, func(r *record) { r.exitEvent = false }, withShim, ""},
		{"event lost", "", func(r *record) { r.exitEvent, r.deleted = false, true }, byDeletion, "event was lost"},
		{"event lost by a delay", shimStopped, func(r *record) { r.exitEvent, r.deleted = false, true }, byDeletion, "event was lost"},
		{"not watched", "", func(r *record) { r.exitEvent, r.deleted, r.watched = false, true, false }, byDeletion, ""},
		{"vanished", shimStopped, func(r *record) { r.exitEvent = false }, notSeen, "end was not seen"},
	} {
		t.Run(c.name, func(t *testing.T) {
			l, ends := account(c.kind, c.f)
			if c.end != "" && ends[c.end] != 1 || c.end == "" && len(ends) > 0 {
				t.Errorf("got %v, want %q", ends, c.end)
			}
			got := strings.Join(l.failures, "; ")
			if c.fail == "" && got != "" || !strings.Contains(got, c.fail) {
				t.Errorf("got the failures %q, want %q", got, c.fail)
			}
		})
	}
}

func TestLedgerPrints(t *testing.T) {
	l, ends := account(shimKilled, func(r *record) { r.execs, r.execsFail = 2, 1 })
	faults := &faultLog{}
	r := l.records[0]
	r.from = time.Now()
	faults.begin(shimKilled, "chaos-1")()
	r.to = time.Now()
	l.ended(ctrResult{args: []string{"task", "kill", "-s"}, code: 1}, time.Second)
	l.cleaned[remainSocket] = 3
	got := l.print("x", ends, faults)
	for _, want := range []string{
		"Ledger of x\n", "     1  containers\n", "     1    started\n", "     0    failed to start",
		"     1    ended, exit event seen\n", "     0    not accounted for\n", "     1    of these had their shim",
		"     0    met no fault", "     2  execs ended", "     1  execs failed",
		"     1  commands of ctr, the longest of 1s: task kill\n", "     1  fault: shim killed\n",
		"     3  left by a fault and cleaned up: socket file\n", "     0  left: socket file\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
}

func TestWrong(t *testing.T) {
	for _, c := range []struct {
		name    string
		result  ctrResult
		touched []faultKind
		want    string
	}{
		{"as wanted", ctrResult{code: 5}, nil, ""},
		{"error", ctrResult{code: 1, stderr: "ctr: x"}, []faultKind{shimKilled}, ""},
		{"killed", ctrResult{code: killedCode}, []faultKind{shimKilled}, ""},
		{"hung", ctrResult{code: -1, err: errHung}, nil, ""},
		{"error for nothing", ctrResult{code: 1, stderr: "ctr: x"}, nil, "an error without"},
		{"warning for nothing", ctrResult{code: 5, stderr: "warning"}, nil, "an error without"},
		{"error after a delay", ctrResult{code: 1, stderr: "ctr: x"}, []faultKind{daemonStopped, shimStopped}, "an error without"},
		{"another code", ctrResult{code: 6}, []faultKind{shimKilled}, "a wrong exit code"},
		{"silent failure", ctrResult{code: 1}, []faultKind{rootFull}, "a wrong exit code"},
	} {
		if got := wrong(c.result, 5, c.touched); c.want == "" && got != "" || !strings.Contains(got, c.want) {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}

func TestExitOf(t *testing.T) {
	const head = "2026-01-02 03:04:05.6 +0000 UTC ns "
	for line, want := range map[string]string{
		head + `/tasks/exit {"container_id":"chaos-1","id":"chaos-1","pid":7,"exit_status":137}`: "chaos-1",
		head + `/tasks/exit {"container_id":"chaos-1","id":"exec-0","pid":7}`:                    "",
		head + `/tasks/start {"container_id":"chaos-1","id":"chaos-1"}`:                          "",
		head + `/tasks/exit {`: "",
		"":                     "",
	} {
		if got := exitOf(line); got != want {
			t.Errorf("%s: got %q, want %q", line, got, want)
		}
	}
}

// A fault may come to a process that has ended; any other error counts.
func TestIgnoreGone(t *testing.T) {
	if err := ignoreGone(os.ErrNotExist); err != nil {
		t.Error(err)
	}
	if err := ignoreGone(os.ErrPermission); err == nil {
		t.Error("another error: want it")
	}
}
