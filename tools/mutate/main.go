// Command mutate changes a package in one place at a time and runs its tests on each
// such mutant. A mutant that passes shows code that no test guards, or that nothing
// needs.
//
//	go run . ../..                       every mutant of the package there
//	go run . -files '^server' ../..      of some files
//	go run . -sample 20 -seed 7 ../..    of a random sample
//	go run . -list ../..                 no run: the mutants alone
//
// All mutants are in one build of the tests, through an overlay: the tree stays as it is.
// A variable of the environment chooses the mutant that a run of the tests is for. Each
// test first runs without a mutant, in one build that chooses none and in one that records
// the mutants that the test reaches. A mutant then runs the tests that reach it alone, at
// first those of its file, until one fails. A comparison such as a < b is reached by equal
// operands alone: with others a <= b is the same.
//
// Equivalent mutants, which behave as the original does, are listed with the reason in
// equivalent.txt beside this file; mutate leaves them out.
package main

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"hash/fnv"
	"io"
	"os"
	"os/signal"
	"regexp"
	"runtime"
	"slices"
	"time"
)

type options struct {
	dir        string
	files      *regexp.Regexp
	equivalent string
	sample     int
	seed       int64
	least      float64
	list       bool
	runOptions
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "mutate:", err)
		stop()
		os.Exit(1)
	}
}

func parse(args []string) (*options, error) {
	var o options
	var files string
	f := flag.NewFlagSet("mutate", flag.ContinueOnError)
	f.StringVar(&files, "files", "", "mutate files whose names match this `regexp`; default: all")
	f.StringVar(&o.equivalent, "equivalent", "equivalent.txt", "`file` that lists equivalent mutants")
	f.IntVar(&o.sample, "sample", 0, "run a random sample of `n` mutants; 0: all")
	f.Int64Var(&o.seed, "seed", 1, "`seed` of the sample")
	f.Float64Var(&o.least, "least", 0, "fail below this score, in `percent` killed")
	f.BoolVar(&o.list, "list", false, "list the mutants and run none")
	f.IntVar(&o.jobs, "jobs", 2*runtime.NumCPU(), "run `n` mutants at a time; many a test waits")
	f.DurationVar(&o.timeout, "timeout", 0, "limit of one run of tests; 0: 5s and five times what they take on the original, at least 10s")
	f.BoolVar(&o.long, "long", false, "run the long tests, too: without -short")
	f.BoolVar(&o.verbose, "v", false, "print the killed mutants, too, and the test that killed each")
	if err := f.Parse(args); err != nil {
		return nil, err
	}
	if f.NArg() != 1 {
		return nil, fmt.Errorf("want one argument, the package's directory; got %d", f.NArg())
	}
	o.dir = f.Arg(0)
	var err error
	o.files, err = regexp.Compile(files)
	return &o, err
}

func run(ctx context.Context, args []string, out io.Writer) error {
	o, err := parse(args)
	if err != nil {
		return err
	}
	known, err := readEquivalent(o.equivalent)
	if err != nil {
		return err
	}
	all, err := find(o.dir, o.files)
	if err != nil {
		return err
	}
	// An entry for a file outside -files is not stale.
	mutants, err := known.remove(all, o.files)
	if err != nil {
		return err
	}
	if o.sample > 0 && o.sample < len(mutants) {
		mutants = pick(mutants, o.sample, o.seed)
	}
	fmt.Fprintf(out, "%d mutants, %d of them known as equivalent; %d to run\n", len(all), len(all)-len(known.rest(all)), len(mutants))
	if o.list {
		for _, m := range mutants {
			fmt.Fprintln(out, m)
		}
		return nil
	}
	start := time.Now()
	results, err := o.runOptions.run(ctx, o.dir, mutants, out)
	if err != nil {
		return err
	}
	return report(out, results, o.least, time.Since(start))
}

// pick returns a random sample of n mutants. It depends on their names alone: while code
// elsewhere changes, a sample stays the same.
func pick(mutants []mutant, n int, seed int64) []mutant {
	order := func(m mutant) uint64 {
		h := fnv.New64a()
		fmt.Fprintf(h, "%d %s", seed, m.entry())
		return h.Sum64()
	}
	slices.SortFunc(mutants, func(a, b mutant) int { return cmp.Compare(order(a), order(b)) })
	mutants = mutants[:n]
	slices.SortFunc(mutants, mutant.compare)
	return mutants
}

// report prints the score of each file and fails if the whole is below least percent.
func report(out io.Writer, results []result, least float64, took time.Duration) error {
	type tally struct{ killed, survived, invalid int }
	files := make(map[string]*tally)
	var names []string
	var total tally
	for _, r := range results {
		t := files[r.file]
		if t == nil {
			t = new(tally)
			files[r.file] = t
			names = append(names, r.file)
		}
		switch r.verdict {
		case killed:
			t.killed++
			total.killed++
		case survived:
			t.survived++
			total.survived++
		case invalid:
			t.invalid++
			total.invalid++
		}
	}
	slices.Sort(names)
	score := func(t tally) float64 {
		if t.killed+t.survived == 0 {
			return 100
		}
		return 100 * float64(t.killed) / float64(t.killed+t.survived)
	}
	for _, name := range names {
		t := files[name]
		fmt.Fprintf(out, "%5.1f %%  %3d of %3d killed  %s\n", score(*t), t.killed, t.killed+t.survived, name)
	}
	fmt.Fprintf(out, "%5.1f %%  %d of %d killed, %d do not compile, in %v\n", score(total), total.killed,
		total.killed+total.survived, total.invalid, took.Round(time.Second))
	if s := score(total); s < least {
		return fmt.Errorf("the tests kill %.1f %% of the mutants, and must kill %.1f %%", s, least)
	}
	return nil
}
