package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// chaosOptions are those of a run of chaos.
type chaosOptions struct {
	Time time.Duration
	Seed uint64
	Kind string // regular expression on kinds of fault
}

func (o *chaosOptions) flags(fs *flag.FlagSet) {
	fs.DurationVar(&o.Time, "chaos", 0, "strike daemons and shims for this time, in place of steps and memory")
	fs.Uint64Var(&o.Seed, "seed", 0, "of the choices of -chaos; 0 is a new one")
	fs.StringVar(&o.Kind, "faults", "", "let only faults happen that match this regular expression")
}

// check completes the options.
func (o *chaosOptions) check() error {
	if o.Time < 0 {
		return errors.New("-chaos must not be negative")
	}
	if _, err := regexp.Compile(o.Kind); err != nil {
		return fmt.Errorf("-faults: %w", err)
	}
	if len(o.kinds()) == 0 {
		return fmt.Errorf("-faults: no kind matches %q", o.Kind)
	}
	for o.Seed == 0 {
		o.Seed = uint64(time.Now().UnixNano() % 1_000_000)
	}
	return nil
}

// kinds are the faults that may happen.
func (o *chaosOptions) kinds() []faultKind {
	var kinds []faultKind
	wanted := regexp.MustCompile(o.Kind)
	for _, k := range faultKinds {
		if wanted.MatchString(string(k)) {
			kinds = append(kinds, k)
		}
	}
	return kinds
}

// chaos is a run of it: workers start and end containers, and storms strike them.
type chaos struct {
	*env
	faults   *faultLog
	ledger   *ledger
	follower *follower
	ids      atomic.Int64 // numbers the containers

	// daemonMu is held while the daemon is replaced.
	daemonMu sync.Mutex
	stopping bool // the daemon's end is wanted
}

// workers is how many containers live at a time.
const workers = 4

// runChaos is the driver's part.
func (e *env) runChaos(ctx context.Context) result {
	c := &chaos{env: e, faults: &faultLog{}, ledger: newLedger()}
	title := fmt.Sprintf("%s, seed %d, %s", e.job.Pairing, e.job.Chaos.Seed, e.job.Chaos.Time)
	fmt.Printf("  chaos of %s\n", title)
	err := c.run(ctx)
	if err != nil {
		c.fail("run", "%v", err)
	}
	ends := c.ledger.settle(c.faults)
	r := result{Ledger: c.ledger.print(title, ends, c.faults), Err: strings.Join(c.ledger.failures, "\n  ")}
	fmt.Printf("\n%s\n", r.Ledger)
	return r
}

func (c *chaos) run(ctx context.Context) error {
	if err := c.prepare(ctx); err != nil {
		return err
	}
	followCtx, stopFollower := context.WithCancel(ctx)
	defer stopFollower()
	c.follower = c.follow(followCtx)
	done := make(chan struct{})
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() { c.work(ctx, w, done) })
	}
	err := c.storms(ctx)
	close(done)
	wg.Wait()
	if err != nil {
		return err
	}
	// With all faults gone everything works.
	if err := c.run1(ctx); err != nil {
		return fmt.Errorf("after the chaos: %w", err)
	}
	if err := c.cleanUp(ctx); err != nil {
		return err
	}
	stopFollower()
	<-c.follower.ended
	if err := c.forgotten(ctx); err != nil {
		return err
	}
	return c.finish(ctx)
}

// prepare gives daemon and shims disks of their own and starts the daemon.
func (c *chaos) prepare(ctx context.Context) error {
	for dir, size := range map[string]int{c.rootDir(): 16, c.stateDir(): 8, containerdRun: 8} {
		if err := os.MkdirAll(dir, 0o711); err != nil {
			return err
		}
		if err := mountDisk(dir, size); err != nil {
			return err
		}
	}
	var err error
	if c.mountsBefore, err = mounts(); err != nil {
		return err
	}
	if _, err := stepStart(ctx, c.env); err != nil {
		return err
	}
	go c.supervise(ctx, c.daemon)
	return nil
}

// storms lets faults happen until time is up. In the last third the daemon is not
// replaced, so that at the end its descriptors and goroutines tell of leaks.
func (c *chaos) storms(ctx context.Context) error {
	start, total := time.Now(), c.job.Chaos.Time
	weather := newForecast(c.job.Chaos.Seed, c.job.Chaos.kinds())
	for time.Since(start) < total {
		s := weather.next(time.Since(start) > total*2/3)
		err := parallel(len(s.faults), func(i int) error {
			time.Sleep(s.faults[i].after)
			return c.inject(ctx, s.faults[i])
		})
		if err != nil {
			return err
		}
		time.Sleep(s.calm)
	}
	return nil
}

// run1 runs one container to its end.
func (c *chaos) run1(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, commandLimit)
	defer cancel()
	return c.env.run(ctx, "last", "sh", "-c", "exit 7").wantOutput(7, "", "")
}

// forgotten checks that the daemon knows no container and holds no more than before.
func (c *chaos) forgotten(ctx context.Context) error {
	ids, err := c.sweep(ctx)
	if err != nil {
		return err
	}
	if len(ids) > 0 {
		c.fail("left", "the daemon still has the containers %s", strings.Join(ids, " "))
	}
	note, err := stepLetsGo(ctx, c.env)
	if err != nil {
		c.fail("daemon", "the daemon does not let go: %v", err)
	}
	c.note("%s", note)
	return nil
}

// finish stops the daemon and counts everything that is left.
func (c *chaos) finish(ctx context.Context) error {
	c.daemonMu.Lock()
	defer c.daemonMu.Unlock()
	c.stopping = true
	ctx, cancel := context.WithTimeout(ctx, commandLimit)
	defer cancel()
	if err := c.daemon.stop(ctx); err != nil {
		return err
	}
	list, err := c.remainsAfter(10 * time.Second)
	for _, r := range list {
		c.ledger.change(func() { c.ledger.left[r.kind]++ })
		c.fail("left", "left at last: %s %s", r.kind, r.name)
	}
	return errors.Join(err, c.scanLog())
}

// scanLog looks for crashes of daemon and shims in their log.
func (c *chaos) scanLog() error {
	log, err := os.ReadFile(c.logPath("containerd.log"))
	if err != nil {
		return err
	}
	crash := regexp.MustCompile(`(?m)^(panic: |fatal error: |SIGBUS|WARNING: DATA RACE).*`)
	for _, line := range crash.FindAllString(string(log), 3) {
		c.fail("crash", "in containerd.log: %s", line)
	}
	return nil
}

// note prints a line that explains the ledger.
func (c *chaos) note(format string, args ...any) {
	fmt.Printf("  "+format+"\n", args...)
}
