// Command e2e runs real containers with programs that use this checkout of
// ttrpc: containerd's daemon, its runc shim and its ctr.
//
// It builds them from the Go module proxy, once with a replace line to the
// checkout ("ours") and once as released ("stock"), takes Debian's containerd,
// runc and busybox from apt ("debian"), and pairs daemons with shims. Each
// pairing runs every step of steps.go inside its own mount and PID namespace,
// with its own state, sockets and cgroup parent, so nothing of the machine's
// own containerd is touched and nothing outlives the run.
//
// Exit status: 0 all green, 1 a step failed or something was left behind,
// 2 wrong usage, 3 containers cannot run here.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"
)

const (
	exitFailed    = 1
	exitUsage     = 2
	exitCannotRun = 3
)

// errCannotRun marks a requirement that this machine lacks. It is never a pass.
var errCannotRun = errors.New("cannot run here")

// options are the command line of the outer process.
type options struct {
	pairings []pairing
	repeat   int
	run      string // regular expression on step names
	memory   bool
	execs    int
	rounds   int
	keepLogs bool
	chaos    chaosOptions // runs in place of steps and memory if its time is set
	build    string       // directory kept between runs: binaries, packages, logs
}

func main() {
	if len(os.Args) == 3 {
		// The two roles inside the namespaces; see sandbox_linux.go.
		switch os.Args[1] {
		case roleInit:
			os.Exit(initMain(os.Args[2]))
		case roleDrive:
			os.Exit(driveMain(os.Args[2]))
		}
	}
	opts, err := parseOptions(os.Args[1:])
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		os.Exit(exitUsage)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err = runAll(ctx, opts)
	stop()
	switch {
	case errors.Is(err, errCannotRun):
		fmt.Fprintln(os.Stderr, "e2e:", err)
		os.Exit(exitCannotRun)
	case err != nil:
		fmt.Fprintln(os.Stderr, "e2e: FAIL:", err)
		os.Exit(exitFailed)
	}
	fmt.Println("e2e: all green")
}

func parseOptions(args []string) (options, error) {
	var o options
	var pairings string
	fs := flag.NewFlagSet("e2e", flag.ContinueOnError)
	fs.StringVar(&pairings, "pairings", defaultPairings,
		"pairings to run, each daemon+shim of "+strings.Join(variants(), ", "))
	fs.IntVar(&o.repeat, "repeat", 1, "how often to run every pairing")
	fs.StringVar(&o.run, "run", "", "run only the steps that match this regular expression")
	fs.BoolVar(&o.memory, "memory", true, "report memory, descriptors and goroutines, ours against stock")
	fs.IntVar(&o.execs, "execs", 1000, "execs in the memory report")
	fs.IntVar(&o.rounds, "rounds", 5, "rounds in the memory report, for medians")
	fs.BoolVar(&o.keepLogs, "keep-logs", false, "keep the logs of jobs that pass, too")
	fs.StringVar(&o.build, "build", "build", "directory for binaries, packages and logs")
	o.chaos.flags(fs)
	if err := fs.Parse(args); err != nil {
		return o, err
	}
	if err := o.chaos.check(); err != nil {
		return o, err
	}
	if o.chaos.Time > 0 {
		o.memory = false
	}
	if fs.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q", fs.Arg(0))
	}
	if o.repeat < 1 || o.execs < 1 || o.rounds < 1 {
		return o, errors.New("-repeat, -execs and -rounds must be at least 1")
	}
	if _, err := regexp.Compile(o.run); err != nil {
		return o, fmt.Errorf("-run: %w", err)
	}
	var err error
	if o.pairings, err = parsePairings(pairings); err != nil {
		return o, err
	}
	o.build, err = filepath.Abs(o.build)
	return o, err
}

// runAll is the whole run of the outer process.
func runAll(ctx context.Context, o options) error {
	if err := checkMachine(); err != nil {
		return err
	}
	unlock, err := lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	if err := removeStale(); err != nil {
		return err
	}

	tools, err := prepare(ctx, o)
	if err != nil {
		return err
	}
	fmt.Print(tools.describe())

	before, err := takeSnapshot()
	if err != nil {
		return err
	}
	var problems []string
	for round := 1; round <= o.repeat && ctx.Err() == nil; round++ {
		results := runPairings(ctx, o, tools, round)
		title := ""
		if o.repeat > 1 {
			title = fmt.Sprintf("Repeat %d of %d", round, o.repeat)
		}
		if o.chaos.Time == 0 {
			fmt.Print("\n", stepTable(title, results), "\n")
		}
		for _, r := range results {
			if bad := r.failures(); bad != "" {
				problems = append(problems, fmt.Sprintf("repeat %d, %s: %s", round, r.Pairing, bad))
			}
		}
	}
	if o.memory && ctx.Err() == nil {
		report, err := memoryReport(ctx, o, tools)
		fmt.Print("\n", report, "\n")
		if err != nil {
			problems = append(problems, "memory report: "+err.Error())
		}
	}
	if err := context.Cause(ctx); err != nil {
		problems = append(problems, "interrupted")
	}
	after, err := settledSnapshot(before, 30*time.Second)
	if err != nil {
		return err
	}
	if left := after.since(before); len(left) > 0 {
		problems = append(problems, "left behind on the machine: "+strings.Join(left, "; "))
	} else {
		fmt.Printf("Left behind: nothing (before and after: %s)\n", after)
	}
	if len(problems) > 0 {
		return errors.New(strings.Join(problems, "\n  "))
	}
	return nil
}

func runPairings(ctx context.Context, o options, t tools, round int) []result {
	var results []result
	for _, p := range o.pairings {
		if ctx.Err() != nil {
			break
		}
		fmt.Printf("\n%s\n", p)
		j := job{Kind: kindSteps, Pairing: p, Tools: t, Run: o.run}
		if o.chaos.Time > 0 {
			j.Kind, j.Chaos = kindChaos, o.chaos
		}
		results = append(results, runJob(ctx, o, j, fmt.Sprintf("%s-%d", p, round)))
	}
	return results
}
