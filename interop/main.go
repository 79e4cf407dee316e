// Command interop runs this checkout against every released ttrpc: programs
// built from one release alone, each in its own process, as client and as
// server over a unix socket. It prints the matrix of version, role and case,
// and exits with 1 when a cell fails. cases.go explains each case.
//
// This checkout runs with its defaults, with extensions off, and with the offer of
// extensions in every request. As a control each release also runs against itself. A
// case that a release fails there too is a defect of the release, named in known.go.
//
// With -rust the peers are those of ttrpc-rust, compiled from peer-rust, instead of the
// releases.
//
// To add a release, run peer/released/pin.sh, which writes its go.mod and
// go.sum, and name it in builds.go.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

type options struct {
	versions  string
	cases     string
	only      string
	windows   string
	variants  bool
	rust      bool
	jobs      int
	count     int
	race      bool
	tryCannot bool
	verbose   bool
}

func main() {
	var o options
	flag.StringVar(&o.versions, "versions", "*", "releases to run, as comma-separated patterns: v1.0.2,v1.2.*")
	flag.StringVar(&o.cases, "cases", "*", "cases to run, as comma-separated patterns: empty_*")
	flag.StringVar(&o.only, "only", "", `run only a part: "control" (releases against themselves) or "ours" (the rest)`)
	flag.StringVar(&o.windows, "windows", "", "run only this checkout's peer for Windows, with Wine's program of this `path`")
	flag.BoolVar(&o.variants, "variants", true, "run also this checkout with extensions off, and with the offer in every request")
	flag.BoolVar(&o.rust, "rust", false, "run the pairings with Rust's peers, and no others; needs cargo and librust-ttrpc-dev of Debian")
	flag.IntVar(&o.jobs, "j", runtime.NumCPU(), "pairings to run at once")
	flag.IntVar(&o.count, "count", 1, "run each pairing so many times; a cell fails when one run does")
	flag.BoolVar(&o.race, "race", false, "build this checkout's peers with the race detector")
	flag.BoolVar(&o.tryCannot, "try-cannot", false, "run also what releases are known to fail, and tell how it ends")
	flag.BoolVar(&o.verbose, "v", false, "list the cases, and the time of each pairing and its slowest cases")
	flag.Parse()
	if flag.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "interop: unexpected argument %q\n", flag.Arg(0))
		os.Exit(2)
	}
	// Ends the builds; the peers end with the driver, whose pipes they read.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the driver at once
	defer stop()
	failed, err := run(ctx, o)
	if err != nil {
		fmt.Fprintln(os.Stderr, "interop:", err)
	}
	if err != nil || failed {
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) (failed bool, err error) {
	start := time.Now()
	cases, pairings, err := o.choose()
	if err != nil {
		return false, err
	}
	dir, err := os.MkdirTemp("", "ttrpc-interop-")
	if err != nil {
		return false, err
	}
	defer os.RemoveAll(dir)
	if err := compileAll(ctx, dir, pairings, o); err != nil {
		return false, err
	}
	built := time.Since(start)
	err = each(o.jobs, pairings, func(p *pairing) error {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err := p.run(cases, o.tryCannot); err != nil {
			return fmt.Errorf("%v: %w", p, err)
		}
		return nil
	})
	if o.verbose {
		describe(cases, pairings)
	}
	for _, t := range tables(pairings) {
		t.write(os.Stdout, cases)
	}
	counts := report(cases, pairings)
	fmt.Printf("\n%d pairings: %d passed, %d failed, %d cannot; %v, of which %v to build\n",
		len(pairings), counts[pass], counts[fail], counts[cannot],
		time.Since(start).Round(time.Second), built.Round(time.Second))
	return counts[fail] > 0, err
}

// choose applies the flags.
func (o options) choose() ([]testCase, []*pairing, error) {
	var cases []testCase
	for _, c := range testCases {
		if matches(o.cases, c.name) {
			cases = append(cases, c)
		}
	}
	var pairings []*pairing
	withOurs, controls := o.only != "control", o.only != "ours"
	if !withOurs && !controls || o.only != "" && o.only != "control" && o.only != "ours" {
		return nil, nil, fmt.Errorf("-only=%s: want control or ours", o.only)
	}
	for i := 0; i < o.count; i++ {
		switch {
		case o.rust:
			pairings = append(pairings, o.withRust(withOurs, controls)...)
			continue
		case o.windows != "":
			pairings = append(pairings, o.withWindows()...)
			continue
		}
		if o.windows != "" {
			pairings = append(pairings, o.withWindows()...)
			continue
		}
		if controls {
			pairings = append(pairings, o.controls()...)
		}
		if withOurs {
			pairings = append(pairings, o.withOurs()...)
			if o.variants {
				pairings = append(pairings, o.withVariants()...)
			}
		}
	}
	if len(cases) == 0 || len(pairings) == 0 {
		return nil, nil, errors.New("no case or no release matches")
	}
	return cases, pairings, nil
}

func (o options) controls() []*pairing {
	var pairings []*pairing
	for _, release := range releases {
		if matches(o.versions, release.name) {
			pairings = append(pairings, &pairing{client: release, server: release})
		}
	}
	return pairings
}

func (o options) withOurs() []*pairing {
	var pairings []*pairing
	for _, our := range ours {
		for _, release := range releases {
			if matches(o.versions, release.name) {
				pairings = append(pairings,
					&pairing{client: release, server: our}, &pairing{client: our, server: release})
			}
		}
		for _, other := range ours {
			pairings = append(pairings, &pairing{client: our, server: other})
		}
	}
	return pairings
}

// withVariants pairs each variant with every release, with the defaults, and with itself.
func (o options) withVariants() []*pairing {
	var others []*build
	for _, release := range releases {
		if matches(o.versions, release.name) {
			others = append(others, release)
		}
	}
	others = append(others, ours[len(ours)-1])
	var pairings []*pairing
	for _, v := range variants {
		for _, other := range others {
			short := !other.ours()
			pairings = append(pairings, &pairing{client: v, server: other, short: short})
			if v.variant != offers { // which a server does not do
				pairings = append(pairings, &pairing{client: other, server: v, short: short})
			}
		}
		pairings = append(pairings, &pairing{client: v, server: v})
	}
	return pairings
}

// withRust pairs each of Rust's peers with this checkout's defaults, with a client that
// offers extensions in every request, and with itself.
func (o options) withRust(withOurs, controls bool) []*pairing {
	var pairings []*pairing
	for _, rust := range rusts {
		if withOurs {
			our := ours[len(ours)-1]
			pairings = append(pairings,
				&pairing{client: rust, server: our}, &pairing{client: our, server: rust})
		}
		if withOurs && o.variants {
			pairings = append(pairings, &pairing{client: variants[0], server: rust})
		}
		if controls {
			pairings = append(pairings, &pairing{client: rust, server: rust})
		}
	}
	return pairings
}

func matches(patterns, name string) bool {
	for _, pattern := range strings.Split(patterns, ",") {
		if ok, _ := path.Match(pattern, name); ok {
			return true
		}
	}
	return false
}

// compileAll builds the programs that the pairings need.
func compileAll(ctx context.Context, dir string, pairings []*pairing, o options) error {
	seen := map[*build]bool{}
	var builds []*build
	for _, p := range pairings {
		for _, b := range []*build{p.client, p.server} {
			if !seen[b] {
				seen[b] = true
				builds = append(builds, b)
			}
		}
	}
	return each(o.jobs, builds, func(b *build) error { return b.compile(ctx, dir, o.race) })
}

// each calls f for all items, so many at once, and joins their errors.
func each[T any](jobs int, items []T, f func(T) error) error {
	var (
		wg   sync.WaitGroup
		errs = make([]error, len(items))
		slot = make(chan struct{}, max(jobs, 1))
	)
	for i := range items {
		wg.Add(1)
		slot <- struct{}{}
		go func(i int) {
			defer wg.Done()
			errs[i] = f(items[i])
			<-slot
		}(i)
	}
	wg.Wait()
	return errors.Join(errs...)
}

// report prints each failure and counts the verdicts.
func report(cases []testCase, pairings []*pairing) map[verdict]int {
	counts := map[verdict]int{}
	for _, p := range pairings {
		for _, c := range cases {
			r := p.results[c.name]
			counts[r.verdict]++
			if r.verdict == fail {
				fmt.Printf("\nFAIL %v: %s (%s)\n    %s\n", p, c.name, c.checks, indent(r.why+"\n"+r.stderr))
			}
		}
	}
	return counts
}

func indent(s string) string {
	return strings.ReplaceAll(strings.TrimSpace(s), "\n", "\n    ")
}

// describe prints the purpose of the cases, and the slow pairings.
func describe(cases []testCase, pairings []*pairing) {
	for _, c := range cases {
		fmt.Printf("%-34s %s\n", c.name, c.checks)
	}
	for _, p := range pairings {
		fmt.Printf("%v: %v:", p, p.took.Round(time.Millisecond))
		for _, c := range cases {
			if took := p.results[c.name].took; took > 200*time.Millisecond {
				fmt.Printf(" %s %v", c.name, took.Round(time.Millisecond))
			}
		}
		fmt.Println()
	}
}
