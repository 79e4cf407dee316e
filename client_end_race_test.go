package ttrpc

import (
	"context"
	"runtime"
	"testing"
)

// UserOnCloseWait returns after the callback, whichever side closed (6).
func TestRaceOnClose(t *testing.T) {
	l := listenWire(t)
	for round := rounds(300); round > 0; round-- {
		calls := 0 // not atomic: the race detector looks at it
		c, w := l.connect(t, WithOnClose(func() {
			for i := 0; i < 100; i++ {
				runtime.Gosched() // for who does not wait for it
			}
			calls++
		}))
		together(
			func() { c.Close() },
			func() { w.Close() },
			func() {
				if err := echo(context.Background(), c, "x"); err != ErrClosed {
					t.Errorf("a call: got %v, want ErrClosed", err)
				}
			},
			func() {
				if err := c.UserOnCloseWait(context.Background()); err != nil || calls != 1 {
					t.Errorf("UserOnCloseWait: %v, the callback has run %d times", err, calls)
				}
			},
		)
	}
}
