// Command consumers builds and tests programs that use ttrpc with this checkout in
// place of their ttrpc: each is fetched from the module proxy, copied, and given the
// replace line that a user of this library writes. It says which lines of go.mod
// change, runs the steps of table.go, and prints a table. Exit status 1: something
// failed or changed that table.go does not name.
//
// With -control the same runs without the line, so with the released ttrpc.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"
)

func main() {
	var names, only string
	var o options
	flag.StringVar(&names, "consumers", "", "consumers to try, all by default: 'nri hcsshim-0.11'")
	flag.StringVar(&only, "steps", "", "steps to run, comma-separated, all by default: build")
	flag.BoolVar(&o.control, "control", false, "use the released ttrpc, without the replace line")
	flag.Parse()
	if flag.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "consumers: unexpected argument %q\n", flag.Arg(0))
		os.Exit(2)
	}
	chosen, err := choose(names)
	if err != nil {
		fmt.Fprintln(os.Stderr, "consumers:", err)
		os.Exit(2)
	}
	if only != "" {
		o.only = strings.Split(only, ",")
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	ok, err := runAll(ctx, chosen, o)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "consumers:", err)
	}
	if err != nil || !ok {
		os.Exit(1)
	}
}

func choose(names string) ([]consumer, error) {
	var chosen []consumer
	for _, name := range strings.Fields(names) {
		c, err := find(name)
		if err != nil {
			return nil, err
		}
		chosen = append(chosen, c)
	}
	if len(chosen) == 0 {
		return consumers, nil
	}
	return chosen, nil
}

// runAll reports whether all of the steps passed.
func runAll(ctx context.Context, chosen []consumer, o options) (bool, error) {
	root, err := filepath.Abs("..")
	if err != nil {
		return false, err
	}
	o.root = root
	o.scratch, err = os.MkdirTemp("", "ttrpc-consumers-")
	if err != nil {
		return false, err
	}
	defer os.RemoveAll(o.scratch)
	start, ok := time.Now(), true
	var rows []row
	for _, c := range chosen {
		for _, r := range o.try(ctx, c) {
			rows = append(rows, r)
			ok = ok && r.ok
		}
	}
	table(rows)
	fmt.Printf("\n%d consumers in %.0f s\n", len(chosen), time.Since(start).Seconds())
	return ok, ctx.Err()
}

// A row is a line of the table.
type row struct {
	consumer, ttrpc, step string
	ok                    bool
	note                  string
	took                  time.Duration
}

func table(rows []row) {
	fmt.Println()
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 1, ' ', 0)
	fmt.Fprintln(w, "| consumer\t| ttrpc\t| step\t| result\t| time\t|")
	fmt.Fprintln(w, "|---\t|---\t|---\t|---\t|---\t|")
	for _, r := range rows {
		verdict := "ok"
		if !r.ok {
			verdict = "FAIL"
		}
		if r.note != "" {
			verdict += ": " + r.note
		}
		fmt.Fprintf(w, "| %s\t| %s\t| %s\t| %s\t| %.0fs\t|\n", r.consumer, r.ttrpc, r.step, verdict, r.took.Seconds())
	}
	w.Flush()
}
