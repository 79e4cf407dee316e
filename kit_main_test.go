package ttrpc

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
)

// stressRounds is a number of rounds for the tests named TestRace, which repeat steps that
// once raced. `make stress` sets it.
var stressRounds = flag.Int("stress", 0, "run so many rounds of each TestRace test, instead of a few")

// rounds returns the number of repetitions of a TestRace test.
func rounds(few int) int {
	switch {
	case *stressRounds > 0:
		return *stressRounds
	case testing.Short():
		return few/10 + 1
	}
	return few
}

// TestMain fails if goroutines of the package are left over after the tests.
func TestMain(m *testing.M) {
	code := m.Run()
	if code == 0 {
		if leaked := leakedGoroutines(5 * time.Second); leaked != "" {
			fmt.Fprintf(os.Stderr, "goroutines left after the tests:\n%s\n", leaked)
			code = 1
		}
	}
	os.Exit(code)
}

// leakedGoroutines waits until no other goroutine runs code of this package. At the limit
// it returns the stacks of the goroutines that are left.
func leakedGoroutines(limit time.Duration) string {
	deadline := time.Now().Add(limit)
	for {
		leaked := goroutinesOf("github.com/containerd/ttrpc")
		if len(leaked) == 0 || time.Now().After(deadline) {
			return strings.Join(leaked, "\n\n")
		}
		time.Sleep(time.Millisecond) // there is no event for the end of a goroutine
	}
}

// goroutinesOf returns the stacks of the goroutines that run a function of pkg, other than
// those of tests.
func goroutinesOf(pkg string) []string {
	buf := make([]byte, 256<<10)
	n := runtime.Stack(buf, true)
	for n == len(buf) {
		buf = make([]byte, 4*len(buf))
		n = runtime.Stack(buf, true)
	}
	var found []string
	for _, stack := range strings.Split(string(buf[:n]), "\n\n") {
		if strings.Contains(stack, pkg+".") && !ofTest(stack) {
			found = append(found, stack)
		}
	}
	return found
}

// ofTest reports whether the goroutine runs a test, a fuzzer, or the program.
func ofTest(stack string) bool {
	for _, f := range []string{"testing.tRunner(", "testing.fRunner(", "testing.(*T).Run(", "testing.(*M).Run(", "main.main("} {
		if strings.Contains(stack, "\n"+f) {
			return true
		}
	}
	return false
}
