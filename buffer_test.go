package ttrpc

import (
	"fmt"
	"strings"
	"testing"
)

// A buffer that is released twice is a bug of the package: the second release panics.
func TestBufferReleasedTwice(t *testing.T) {
	buf := getBuffer(maxMessageLengthLimit) // too big for a pool: nobody else takes it
	buf.release()
	defer func() {
		if got := fmt.Sprint(recover()); !strings.HasPrefix(got, "BUG: ") {
			t.Errorf("the second release: got %q, want a panic", got)
		}
	}()
	buf.release()
}
