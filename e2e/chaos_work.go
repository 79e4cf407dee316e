package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"time"
)

// commandLimit bounds one command of ctr. A fault lasts three seconds, and a calm
// follows each storm, so that no fault explains a command that takes longer.
const commandLimit = time.Minute

// removeLimit bounds the removal of a container, with all its commands.
const removeLimit = 2 * commandLimit

// work starts and ends containers, one after the other, until done is closed.
func (c *chaos) work(ctx context.Context, worker int, done <-chan struct{}) {
	rng := rand.New(rand.NewPCG(c.job.Chaos.Seed, uint64(1+worker)))
	for {
		select {
		case <-done:
			return
		default:
			c.live(ctx, fmt.Sprint("chaos-", c.ids.Add(1)), drawLife(rng))
		}
	}
}

// command runs ctr and counts it.
func (c *chaos) command(ctx context.Context, args ...string) ctrResult {
	ctx, cancel := context.WithTimeout(ctx, commandLimit)
	defer cancel()
	start := time.Now()
	r := c.ctr(ctx, args...)
	c.ledger.ended(r, time.Since(start))
	if r.err != nil {
		c.fail("hung", "a command hung: %v (%s)", r.err, r)
	}
	return r
}

// fail notes a failure and writes the stacks of the first few.
func (c *chaos) fail(what, format string, args ...any) {
	const most = 3
	n := c.ledger.fail(format, args...)
	fmt.Printf("  FAIL %s: %s\n", time.Now().Format(time.TimeOnly), fmt.Sprintf(format, args...))
	if n <= most {
		c.writeStacks(fmt.Sprintf("%s-%d", what, n))
	}
}

// shell is the command of a container: it marks that it runs, and its id is among its
// arguments for the search of processes.
func (c *chaos) shell(id string, span time.Duration, code int) []string {
	text := fmt.Sprintf(": >/tmp/%s; usleep %d; exit %d", id, span.Microseconds(), code)
	return []string{"sh", "-c", text, id}
}

// forever is longer than any life; usleep counts it in 32 bits.
const forever = 1000 * time.Second

// live is one container's life, and its account.
func (c *chaos) live(ctx context.Context, id string, l life) {
	r := c.ledger.begin(id, c.follower.listens())
	if l.detached {
		c.liveDetached(ctx, r, l)
	} else {
		args := append(c.runArgs(id), c.shell(id, l.span, l.code)...)
		result := c.command(ctx, args...)
		c.judge(r, result, l.code)
		c.ledger.change(func() {
			// ctr passes on a code once it has deleted the task.
			r.started = result.err == nil && result.stderr == ""
			r.deleted = r.started
			r.startFail = result.stderr
		})
	}
	c.remove(ctx, r, l)
	mark := c.inRootfs("tmp/" + id)
	_, err := os.Stat(mark)
	os.Remove(mark)
	c.ledger.change(func() {
		r.to = time.Now()
		r.started = r.started || err == nil
	})
}

func (c *chaos) liveDetached(ctx context.Context, r *record, l life) {
	span := l.span
	if l.killed {
		span = forever
	}
	args := []string{"run", "-d", "--null-io", "--env", "PATH=/bin", "--rootfs", c.rootfs, r.id}
	result := c.command(ctx, append(args, c.shell(r.id, span, l.code)...)...)
	c.judge(r, result, 0)
	c.ledger.change(func() { r.started, r.startFail = result.code == 0, result.stderr })
	if result.code != 0 {
		return
	}
	execs := func(i int) error {
		c.exec1(ctx, r, fmt.Sprint("exec-", i), l.execs[i])
		return nil
	}
	if l.atOnce {
		parallel(len(l.execs), execs)
	} else {
		for i := range l.execs {
			execs(i)
		}
	}
	time.Sleep(l.span)
}

// exec1 runs one exec, and wants its own exit code or an error.
func (c *chaos) exec1(ctx context.Context, r *record, name string, plan execPlan) {
	text := fmt.Sprintf("usleep %d; exit %d", plan.span.Microseconds(), plan.code)
	args := append(execArgs(r.id, name), "sh", "-c", text)
	result := c.command(ctx, args...)
	c.judge(r, result, plan.code)
	c.ledger.change(func() {
		if result.code == plan.code && result.stderr == "" {
			r.execs++
		} else {
			r.execsFail++
		}
	})
}

// killedCode is the exit code of a process that SIGKILL ended, as all of a container are
// with their shim.
const killedCode = 137

// judge checks the end of a command.
func (c *chaos) judge(r *record, result ctrResult, code int) {
	touched := c.faults.touching(r.id, r.from, time.Now())
	if what := wrong(result, code, touched); what != "" {
		c.fail("wrong", "%s: %s: %s, want exit %d (%v)", r.id, what, result, code, touched)
	}
	if result.code == unknownCode {
		c.ledger.change(func() { c.ledger.unknownCodes++ })
	}
}

// wrong says why faults do not explain the end of a command that was to pass on an exit
// code, or returns "". Where a fault did harm, an error text explains itself, and so does
// the code of a process that was killed or lost.
func wrong(result ctrResult, code int, touched []faultKind) string {
	switch {
	case result.err != nil: // it hung, which is noted
		return ""
	case result.code == code && result.stderr == "":
		return ""
	case !slices.ContainsFunc(touched, harms):
		return "an error without a fault that does harm"
	case result.stderr == "" && result.code != killedCode && result.code != unknownCode:
		return "a wrong exit code"
	}
	return ""
}

// unknownCode is the exit code that containerd gives a process whose shim was lost.
const unknownCode = 255

// remove ends a container and removes it, as a user does, until the daemon knows it no
// more. Faults make single commands fail.
func (c *chaos) remove(ctx context.Context, r *record, l life) {
	ctx, cancel := context.WithTimeout(ctx, removeLimit)
	defer cancel()
	kill := l.killed || !r.started
	var last ctrResult
	for ctx.Err() == nil {
		if kill {
			c.command(ctx, "task", "kill", "-s", "SIGKILL", r.id) // it may have ended
		}
		last = c.command(ctx, "task", "rm", r.id)
		// A code of the task other than 0 is a warning.
		gone := strings.Contains(last.stderr, "not found")
		if last.code == 0 || gone {
			c.ledger.change(func() { r.deleted = r.deleted || last.code == 0 })
			last = c.command(ctx, "container", "rm", r.id)
			if last.code == 0 || strings.Contains(last.stderr, "not found") {
				c.ledger.change(func() { r.removed = true })
				return
			}
		}
		if errors.Is(last.err, errHung) {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	c.force(context.WithoutCancel(ctx), r, last)
}

// force removes a container that the usual commands did not, as an operator does.
func (c *chaos) force(ctx context.Context, r *record, last ctrResult) {
	touched := c.faults.touching(r.id, r.from, time.Now())
	if !slices.ContainsFunc(touched, harms) {
		c.fail("remove", "%s was not removed (%v): %s", r.id, touched, last)
	} else {
		c.note("%s (%v) was removed by force: %s", r.id, touched, last)
	}
	c.command(ctx, "task", "rm", "-f", r.id)
	done := c.command(ctx, "container", "rm", r.id)
	c.ledger.change(func() {
		c.ledger.cleaned[remainTask]++
		r.removed = done.code == 0 || strings.Contains(done.stderr, "not found")
	})
}
