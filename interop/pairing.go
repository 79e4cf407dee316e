package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// A pairing is one client program against one server program, in processes of
// their own.
type pairing struct {
	client, server *build
	short          bool              // without long cases
	results        map[string]result // by case
	took           time.Duration
}

func (p *pairing) String() string { return p.client.name + " -> " + p.server.name }

type verdict int

const (
	unknown verdict = iota // not run
	cannot                 // an end is not made for it, or is known to fail
	pass
	fail
)

type result struct {
	verdict verdict
	why     string // of cannot and fail
	stderr  string // of fail: both peers' since the case began
	took    time.Duration
}

// run runs the cases one after the other. tryCannot runs also those that a
// release is known to fail.
func (p *pairing) run(cases []testCase, tryCannot bool) error {
	start := time.Now()
	defer func() { p.took = time.Since(start) }()
	p.results = map[string]result{}
	dir, err := os.MkdirTemp("", "ttrpc-interop-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	var ends *ends
	defer func() { ends.kill() }()
	for i, c := range cases {
		if p.short && c.long {
			continue
		}
		why, structural := whyNot(c, p.client, p.server)
		if why != "" && (structural || !tryCannot) {
			p.results[c.name] = result{verdict: cannot, why: why}
			continue
		}
		if ends == nil {
			if ends, err = startEnds(p, filepath.Join(dir, fmt.Sprint(i))); err != nil {
				return err
			}
		}
		r := ends.run(c)
		if r.verdict == fail {
			ends = nil
		}
		if why != "" {
			fmt.Fprintf(os.Stderr, "%v: %s: known as %q: %v\n", p, c.name, why, orPasses(r.why))
			r = result{verdict: cannot, why: why}
		}
		p.results[c.name] = r
	}
	return nil
}

func orPasses(why string) string {
	if why == "" {
		return "passes"
	}
	return strings.SplitN(why, "\n", 2)[0]
}

// ends are the two processes of a pairing.
type ends struct {
	client, server *process
	wine           bool // one of them runs under Wine
}

func startEnds(p *pairing, socket string) (*ends, error) {
	if p.client.wine != "" || p.server.wine != "" {
		socket = "127.0.0.1:0"
	}
	server, socket, err := startServer(p.server, socket)
	if err != nil {
		return nil, err
	}
	// A goroutine left at our server is a leak. Released servers leave one now
	// and then: the reader waits forever to tell of its end when a response
	// failed at the same time.
	leaks := "1"
	if !p.server.ours() && !p.server.rust {
		leaks = "2"
	}
	client, err := startProcess(p.client.program, "client", socket, p.server.program, leaks)
	if err != nil {
		server.kill()
		return nil, err
	}
	return &ends{client: client, server: server, wine: p.client.wine != "" || p.server.wine != ""}, nil
}

func (e *ends) kill() {
	if e != nil {
		e.client.kill()
		e.server.kill()
	}
}

// run runs a case. When it fails, the ends are killed.
func (e *ends) run(c testCase) result {
	limit := c.limit
	if limit == 0 {
		limit = caseLimit
	}
	if e.wine {
		limit *= 5 // a wake-up takes a millisecond there
	}
	clientErrors, serverErrors := e.client.stderr.len(), e.server.stderr.len()
	start := time.Now()
	err := e.client.runCase(c.name, limit)
	r := result{verdict: pass, took: time.Since(start)}
	if err == nil {
		return r
	}
	r.verdict, r.why = fail, err.Error()
	var hang errHang
	if errors.As(err, &hang) {
		e.client.dump()
		e.server.dump()
	}
	// This case must not make the next one fail. And all of the standard error is
	// there only when the processes have ended.
	e.kill()
	if !e.server.killed() {
		r.why = "the server crashed; the client: " + r.why
	}
	for _, end := range []struct{ name, text string }{
		{"client", e.client.stderr.since(clientErrors)},
		{"server", e.server.stderr.since(serverErrors)},
	} {
		if end.text != "" {
			r.stderr += "stderr of the " + end.name + ":\n" + end.text + "\n"
		}
	}
	return r
}
