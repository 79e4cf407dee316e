// Command hostile attacks a server and a client that are built on this checkout, and on
// a release as the control: each attack is a process that knows no library, against a
// victim in a process of its own. It prints the cost to the victim as a table in
// Markdown, and exits with 1 when this checkout's exceeds the bounds of the attack
// (attacks.go). Linux only: most figures are from /proc.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path"
	"strings"
	"syscall"
	"time"
)

type options struct {
	attacks string
	builds  string
	time    time.Duration
	short   bool
	safe    bool
	list    bool
}

func main() {
	if len(os.Args) > 1 && os.Args[1] == "attack" {
		if err := runAttacker(os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, "hostile:", err)
			os.Exit(1)
		}
		return
	}
	var o options
	flag.StringVar(&o.attacks, "attacks", "*", "attacks to run, as comma-separated patterns: claims,client-*")
	flag.StringVar(&o.builds, "builds", "*", "victims to attack: ours, v1.2.10")
	flag.DurationVar(&o.time, "time", 2*time.Second, "how long an attack goes on")
	flag.BoolVar(&o.short, "short", false, "half a second for each attack, and fewer connections and calls")
	flag.BoolVar(&o.safe, "safe", false, "give our server the options for peers that are not trusted")
	flag.BoolVar(&o.list, "list", false, "say what the attacks do, and end")
	flag.Parse()
	if flag.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "hostile: unexpected argument %q\n", flag.Arg(0))
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the driver at once
	defer stop()
	failed, err := o.runAll(ctx)
	if err != nil {
		fmt.Fprintln(os.Stderr, "hostile:", err)
	}
	if err != nil || failed {
		os.Exit(1)
	}
}

// lasts is the time of an attack.
func (o options) lasts(a *attack) time.Duration {
	if o.short {
		return max(500*time.Millisecond, a.least)
	}
	return max(o.time, a.least)
}

// choose applies the flags.
func (o options) choose() (chosen []*attack, victims []*build, err error) {
	for _, a := range attacks {
		if matches(o.attacks, a.name) {
			chosen = append(chosen, a)
		}
	}
	for _, b := range builds {
		if matches(o.builds, b.name) {
			victims = append(victims, b)
		}
	}
	if len(chosen) == 0 || len(victims) == 0 {
		return nil, nil, errors.New("no attack or no victim matches")
	}
	return chosen, victims, nil
}

func matches(patterns, name string) bool {
	for _, pattern := range strings.Split(patterns, ",") {
		if ok, _ := path.Match(pattern, name); ok {
			return true
		}
	}
	return false
}

// runAll runs the attacks one after another, as each may take the whole machine.
func (o options) runAll(ctx context.Context) (failed bool, err error) {
	chosen, victims, err := o.choose()
	if err != nil {
		return false, err
	}
	if o.list {
		for _, a := range chosen {
			fmt.Printf("%-20s %s\n", a.name, a.does)
		}
		return false, nil
	}
	dir, err := os.MkdirTemp("", "ttrpc-hostile-")
	if err != nil {
		return false, err
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil { // for attackers of another user id
		return false, err
	}
	for _, b := range victims {
		if err := b.compile(ctx, dir); err != nil {
			return false, err
		}
	}
	start, t := time.Now(), newTable(victims)
	for _, a := range chosen {
		results := make([]*result, len(victims))
		for i, b := range victims {
			if ctx.Err() != nil {
				return true, ctx.Err()
			}
			if results[i], err = o.run(a, b, dir); err != nil {
				return true, fmt.Errorf("%s against %s: %w", a.name, b.name, err)
			}
		}
		t.row(a, results)
		for i, b := range victims {
			failed = o.report(a, b, results[i]) || failed
		}
	}
	fmt.Printf("\n%d attacks in %v\n", len(chosen), time.Since(start).Round(time.Second))
	return failed, nil
}

// report says why a victim of ours fails. A release is the control, and may.
func (o options) report(a *attack, b *build, r *result) (failed bool) {
	failures := r.check(a, o.lasts(a))
	if len(failures) == 0 || !b.ours() {
		return false
	}
	fmt.Fprintf(os.Stderr, "FAIL %s: %s\n", a.name, strings.Join(failures, "; "))
	if r.died {
		fmt.Fprintln(os.Stderr, "    ", r.stderr)
	}
	return true
}
