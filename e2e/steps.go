package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// step is one row of the table. It makes its own containers and removes them,
// and returns a note for the reader.
type step struct {
	name string
	run  func(ctx context.Context, e *env) (note string, err error)
}

// steps run in this order. The first and the last start and stop the daemon and
// always run; the others stand alone.
var steps = []step{
	{"daemon start", stepStart},
	{"run", stepRun},
	{"exit codes", stepExitCodes},
	{"daemon killed, restarted", stepDaemonKilled},
	{"daemon stopped, restarted", stepDaemonRestarted},
	{"exec", stepExec},
	{"exec 20 at once", stepExecMany},
	{"exec with 1 MB", stepExecLarge},
	{"ps", stepPs},
	{"pause, resume", stepPause},
	{"metrics", stepMetrics},
	{"ctr to shim, directly", stepShimDirect},
	{"tool to shim", stepTool},
	{"trace of events", stepTrace},
	{"kill", stepKill},
	{"error codes", stepErrorCodes},
	{"events", stepEvents},
	{"50 started at once", stepFifty},
	{"shim killed", stepShimKilled},
	{"shim hangs", stepShimHangs},
	{"daemon lets go", stepLetsGo},
	{"stop, nothing left", stepStop},
}

// stepTimeout bounds a step. The longest, fifty containers, takes seconds.
const stepTimeout = 2 * patience

// driveMain is the driver's main function, inside the namespaces.
func driveMain(path string) int {
	var j job
	if err := readJSON(path, &j); err != nil {
		fmt.Fprintln(os.Stderr, "driver:", err)
		return exitFailed
	}
	var r result
	e, err := newEnv(j)
	switch {
	case err != nil:
		r.Err = err.Error()
	case j.Kind == kindSteps:
		r = e.runSteps(context.Background())
	case j.Kind == kindMemory:
		r = e.runMemory(context.Background())
	case j.Kind == kindChaos:
		r = e.runChaos(context.Background())
	default:
		r.Err = "unknown kind of job " + j.Kind
	}
	if err := writeJSON(filepath.Join(j.Dir, "result.json"), r); err != nil {
		fmt.Fprintln(os.Stderr, "driver:", err)
		return exitFailed
	}
	return 0
}

func (e *env) runSteps(ctx context.Context) result {
	var r result
	wanted := regexp.MustCompile(e.job.Run) // parseOptions has checked it
	given := ""                             // why the rest does not run
	for i, s := range steps {
		always := i == 0 || i == len(steps)-1
		if !always && !wanted.MatchString(s.name) {
			continue
		}
		if given != "" {
			r.Steps = append(r.Steps, stepResult{Name: s.name})
			continue
		}
		sr := e.runStep(ctx, s)
		r.Steps = append(r.Steps, sr.stepResult)
		fmt.Println(sr.stepResult)
		if sr.fatal || (i == 0 && sr.Err != "") {
			given = s.name
		}
	}
	if given != "" {
		r.Err = fmt.Sprintf("%q ended the pairing", given)
	}
	return r
}

// outcome is a stepResult, and whether the pairing can go on.
type outcome struct {
	stepResult
	fatal bool
}

func (e *env) runStep(ctx context.Context, s step) outcome {
	ctx, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	start := time.Now()
	note, err := s.run(ctx, e)
	o := outcome{stepResult: stepResult{Name: s.name, Time: time.Since(start), Note: note, Ran: true}}
	stopped := s.name == steps[len(steps)-1].name // no daemon to ask any more
	if err == nil && !stopped {
		err = e.sweepAfter(ctx)
	}
	if err != nil {
		o.Err = strings.ReplaceAll(err.Error(), "\n", "; ")
		o.fatal = errors.Is(err, errHung) || errors.Is(err, context.DeadlineExceeded)
		e.dumpStacks(s.name)
		if !o.fatal && !stopped {
			if _, err := e.sweep(context.Background()); err != nil {
				o.Err += "; and then: " + err.Error()
				o.fatal = true
			}
		}
	}
	return o
}

// sweepAfter checks that a step which passed removed its containers.
func (e *env) sweepAfter(ctx context.Context) error {
	ids, err := e.sweep(ctx)
	if err == nil && len(ids) > 0 {
		err = fmt.Errorf("containers left: %s", strings.Join(ids, " "))
	}
	return err
}

// String is the line shown while the steps run.
func (s stepResult) String() string {
	line := fmt.Sprintf("  %-26s %-5s %6.2fs", s.Name, s.verdict(), s.Time.Seconds())
	if s.Note != "" {
		line += "  " + s.Note
	}
	if s.Err != "" {
		line += "\n      " + s.Err
	}
	return line
}

func (s stepResult) verdict() string {
	switch {
	case !s.Ran:
		return "not run"
	case s.Err != "":
		return "FAIL"
	default:
		return "ok"
	}
}

func stepStart(ctx context.Context, e *env) (string, error) {
	if err := e.writeConfig("debug"); err != nil {
		return "", err
	}
	if err := e.startDaemon(ctx); err != nil {
		return "", err
	}
	return "", e.setBaseline(ctx)
}

// setBaseline records the footprint of a daemon after its first container is gone:
// later ones must not add to it.
func (e *env) setBaseline(ctx context.Context) error {
	if err := e.run(ctx, "first", "true").wantOutput(0, "", ""); err != nil {
		return err
	}
	var last footprint
	return until(ctx, "a steady daemon", func() (bool, error) {
		var err error
		e.baseline, err = e.footprint(ctx)
		steady := e.baseline == last
		last = e.baseline
		return steady, err
	})
}

// stepLetsGo checks that the daemon holds no connection, goroutine or
// descriptor of the containers that came and went.
func stepLetsGo(ctx context.Context, e *env) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	// ctr's own connections, and timers of gRPC, come and go.
	limit := footprint{e.baseline.Descriptors + 2, e.baseline.Goroutines + 3}
	after, err := e.settledFootprint(ctx, limit)
	note := fmt.Sprintf("before %s; after %s", e.baseline, after)
	if err != nil {
		// Not a hang: the pairing goes on.
		return "", fmt.Errorf("%s: %v", note, err)
	}
	return note, nil
}

func stepStop(ctx context.Context, e *env) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := e.daemon.stop(ctx); err != nil {
		return "", err
	}
	var left []string
	err := until(ctx, "everything to end", func() (bool, error) {
		var err error
		left, err = e.leftovers()
		return len(left) == 0, err
	})
	if len(left) > 0 {
		return "", fmt.Errorf("left behind: %s", strings.Join(left, "; "))
	}
	return "", err
}
