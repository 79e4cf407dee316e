package ttrpc

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
)

// TestMain fails when goroutines of the package are left after the tests.
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

// leakedGoroutines waits until no other goroutine runs code of this package,
// and returns the stacks of those that are left after the limit.
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

// goroutinesOf returns the stacks of the goroutines, other than the caller's,
// that have a function of pkg on them.
func goroutinesOf(pkg string) []string {
	buf := make([]byte, 64<<20)
	stacks := strings.Split(string(buf[:runtime.Stack(buf, true)]), "\n\n")
	var found []string
	for _, stack := range stacks[1:] {
		if strings.Contains(stack, pkg+".") && !strings.Contains(stack, "testing.(*T).Run(") {
			found = append(found, stack)
		}
	}
	return found
}
