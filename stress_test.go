package ttrpc

import (
	"flag"
	"os"
	"path/filepath"
	"testing"
)

// The tests named TestRace repeat something that once raced. `make stress` runs
// many rounds of them.
var stressRounds = flag.Int("stress", 0, "run so many rounds of each TestRace test, instead of a few")

// rounds is how often a TestRace test repeats what it does.
func rounds(few int) int {
	switch {
	case *stressRounds > 0:
		return *stressRounds
	case testing.Short():
		return few/10 + 1
	}
	return few
}

// socketPath returns a path for a unix socket: these are limited in length, and
// t.TempDir has the name of the test in it.
func socketPath(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "ttrpc")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return filepath.Join(dir, "s")
}
