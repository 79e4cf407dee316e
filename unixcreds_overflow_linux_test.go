package ttrpc

import (
	"strings"
	"testing"
)

// A namespace that maps all ids has no overflow id. If the files of the kernel are missing,
// the overflow id is the kernel's default.
func TestOverflowIDOfKernel(t *testing.T) {
	if got := readOverflowID("unknown"); got != 65534 {
		t.Errorf("without files: got %d, want 65534", got)
	}
	for _, kind := range []string{"uid", "gid"} {
		mapped := strings.Join(strings.Fields(readFile(t, "/proc/self/"+kind+"_map")), " ")
		want := mapped == "0 0 4294967295"
		if got := readOverflowID(kind); (got == -1) != want {
			t.Errorf("%s: got %d for the map %q", kind, got, mapped)
		}
	}
}
