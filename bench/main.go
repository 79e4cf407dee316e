// Command bench measures this library against its released versions and other
// RPC implementations, side by side. README.md says how, and why that is fair.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"time"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// settings are the command line.
type settings struct {
	peers, cases, base string
	rounds             int
	measure, warmup    time.Duration
	out, profile, from string
}

func run() error {
	var s settings
	flag.StringVar(&s.peers, "peers", "", "comma-separated `names` or patterns of peers, ours@REV among them (default all)")
	flag.StringVar(&s.cases, "cases", "", "comma-separated `names` or patterns of cases (default all but rare connections)")
	flag.StringVar(&s.base, "base", defaultBase, "the `peer` that ratios are taken against")
	flag.IntVar(&s.rounds, "rounds", 5, "rounds, each with all cases of all peers")
	flag.DurationVar(&s.measure, "time", 700*time.Millisecond, "how long to measure a case of a peer in each round")
	flag.DurationVar(&s.warmup, "warmup", 150*time.Millisecond, "how long to load it before that")
	flag.StringVar(&s.out, "out", "out", "`directory` for the results, the tables and the charts")
	flag.StringVar(&s.profile, "profile", "", "write CPU profiles of both sides into this `directory`; the last round's stay")
	flag.StringVar(&s.from, "from", "", "measure nothing, report the results in this `file`")
	flag.Parse()
	if s.from != "" {
		r, err := loadReport(s.from)
		if err != nil {
			return err
		}
		return r.publish(s.out)
	}
	unlock, err := lock()
	if err != nil {
		return err
	}
	defer unlock()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	r, err := measureAll(ctx, s)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(s.out, 0o755); err != nil {
		return err
	}
	if err := r.save(filepath.Join(s.out, "results.json")); err != nil {
		return err
	}
	return r.publish(s.out)
}

// measureAll builds the peers and runs all rounds. When ctx ends it returns
// the results so far.
func measureAll(ctx context.Context, s settings) (*report, error) {
	peers, err := selectPeers(s.peers)
	if err != nil {
		return nil, err
	}
	cases, err := selectCases(s.cases)
	if err != nil {
		return nil, fmt.Errorf("cases: %w", err)
	}
	if s.profile != "" {
		if err := os.MkdirAll(s.profile, 0o755); err != nil {
			return nil, err
		}
	}
	r := newReport(s, peers, cases)
	for i := range peers {
		progress("building %s", peers[i].name)
		if err := peers[i].build(ctx); err != nil {
			return nil, err
		}
		if err := r.addVersions(peers[i]); err != nil {
			return nil, err
		}
	}
	defer raiseAutogroup()()
	started, done := time.Now(), 0
	for round := range s.rounds {
		for _, c := range cases {
			c.load.Warmup, c.load.Measure = s.warmup, s.measure
			if c.long {
				c.load.Measure *= 3
			}
			for i := range peers {
				// Each round starts with another peer.
				p := peers[(i+round)%len(peers)]
				out := r.outcome(c.name, p.name)
				if out.Failure.Kind == "" {
					res, err := runCase(ctx, p, c, s.profile)
					if ctx.Err() == nil {
						out.add(res, err)
					}
				}
				if ctx.Err() != nil {
					progress("interrupted in round %d", round+1)
					return r, nil
				}
				done++
				left := time.Since(started) / time.Duration(done) * time.Duration(s.rounds*len(cases)*len(peers)-done)
				progress("round %d/%d, %s left  %-18s %-14s %s", round+1, s.rounds,
					left.Round(time.Second), c.name, p.name, out.describeLast(c))
			}
		}
		r.Rounds = round + 1
	}
	return r, nil
}

func progress(format string, args ...any) {
	fmt.Fprintf(os.Stderr, format+"\n", args...)
}
