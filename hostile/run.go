package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"
)

const (
	// answerLimit is how long a victim may take to answer in an attack, and to start.
	answerLimit = 10 * time.Second

	// closeLimit is how long Close may take until it counts as hanging.
	closeLimit = 6 * time.Second
)

// A result is the cost of an attack to a victim.
type result struct {
	died        bool
	rss         int // MiB, peak
	heap        int // MiB, live
	threads     int // peak
	descriptors int // peak
	log         int // bytes
	escapes     int // in the log
	p99         time.Duration
	close       time.Duration
	overrun     time.Duration // of a client's deadlines
	goroutines  int           // that are left after close
	faults      []string      // beside the figures
	stderr      string
}

// fault notes that something has gone wrong, or that the victim has died.
func (r *result) fault(what string, err error) {
	if errors.Is(err, errDied) {
		r.died = true
	} else if err != nil {
		r.faults = append(r.faults, fmt.Sprintf("%s: %v", what, err))
	}
}

// run has one attack done to a victim of its own. The error says that it could not be.
func (o options) run(a *attack, b *build, dir string) (*result, error) {
	dir, err := os.MkdirTemp(dir, "run")
	if err != nil {
		return nil, err
	}
	// For an attacker with another user id.
	if err := os.Chmod(dir, 0o777); err != nil {
		return nil, err
	}
	socket, honest := filepath.Join(dir, "s"), filepath.Join(dir, "honest")
	args := []string{"serve", socket}
	switch {
	case a.client:
		l, err := serveHonest(honest)
		if err != nil {
			return nil, err
		}
		defer l.Close()
		args = []string{"call", socket, honest}
	case o.safe:
		args = []string{"serve", "safe", socket}
	}
	victim, err := startProcess(b.program, args...)
	if err != nil {
		return nil, err
	}
	defer victim.kill()
	if line, err := victim.line(answerLimit); line != "ready" {
		return nil, fmt.Errorf("%s does not start: %q, %v, %v", b.name, line, err, &victim.stderr)
	}
	r := &result{}
	err = o.attack(a, victim, socket, r)
	r.stderr = victim.stderr.String()
	return r, err
}

// attack runs the attacker, and takes the figures while that holds its connections.
func (o options) attack(a *attack, victim *process, socket string, r *result) error {
	var in *innocent
	if !a.client {
		var err error
		if in, err = startInnocent(socket); err != nil {
			return fmt.Errorf("an innocent call: %w", err)
		}
	}
	s := victim.sample()
	attacker, err := startAttacker(filepath.Dir(socket), a.name, socket, o.lasts(a).String(), fmt.Sprint(o.short))
	if err != nil {
		return err
	}
	defer attacker.kill()
	_, err = attacker.line(o.lasts(a) + answerLimit)
	s.end()
	r.threads, r.descriptors, r.rss = s.threads, s.descriptors, victim.peakRSS()
	if in != nil {
		var callErr error
		r.p99, callErr = in.end()
		r.fault("an innocent call", callErr)
	}
	r.ask(a, victim, socket)
	r.log, r.escapes = victim.stderr.counts()
	if err != nil {
		return fmt.Errorf("the attacker: %w: %v", err, &attacker.stderr)
	}
	return nil
}

// ask has the victim report and close, while the attacker is there. A server also has
// to serve a new connection.
func (r *result) ask(a *attack, victim *process, socket string) {
	if !a.client {
		r.fault("a new connection", callOnce(socket))
	}
	f, err := victim.ask("figures", answerLimit)
	r.fault("the figures", err)
	r.heap = int(f.Heap >> 20)
	r.overrun = f.Overrun
	if a.client {
		r.p99 = f.P99
		if err == nil && f.Calls == 0 {
			r.faults = append(r.faults, "no innocent call was made")
		}
	}
	f, err = victim.ask("close", closeLimit)
	r.fault("Close", err)
	r.close, r.goroutines = f.Close, f.Goroutines
	if victim.status("Threads") == 0 {
		r.died = true
	}
}

func callOnce(socket string) error {
	conn, err := net.DialTimeout("unix", socket, answerLimit)
	if err != nil {
		return err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(answerLimit))
	return rawEcho(conn, 1)
}

// maxOverrun is how long a client's call may go on after its deadline.
const maxOverrun = time.Second

// check returns how the result exceeds the bounds of the attack.
func (r *result) check(a *attack, lasts time.Duration) (failures []string) {
	if r.died {
		return []string{"died"}
	}
	failures = r.faults
	limits := a.bounds.or(usual)
	for _, f := range []struct {
		what      string
		got, most int
	}{
		{"MiB resident", r.rss, limits.rss},
		{"MiB of live heap", r.heap, limits.heap},
		{"threads", r.threads, limits.threads},
		{"descriptors", r.descriptors, limits.descriptors},
		{"KiB of log", r.log >> 10, limits.log * int(lasts/time.Second+1)},
		{"escape characters in the log", r.escapes, 0},
		{"ms of an innocent caller's p99", ms(r.p99), ms(limits.p99)},
		{"ms for Close", ms(r.close), ms(limits.close)},
		{"ms of a call past its deadline", ms(r.overrun), ms(maxOverrun)},
	} {
		if f.got > f.most {
			failures = append(failures, fmt.Sprintf("%d %s, at most %d", f.got, f.what, f.most))
		}
	}
	return failures
}

func ms(d time.Duration) int { return int(d / time.Millisecond) }
