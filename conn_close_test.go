package ttrpc

import (
	"net"
	"runtime"
	"testing"
	"time"
)

// A connection with two times for its end ends at the earlier one, whether that was set
// first or second, and no timer keeps the connection in memory after that.
func TestFailAfterTwice(t *testing.T) {
	for _, times := range [][2]time.Duration{
		{time.Millisecond, time.Hour},
		{time.Hour, time.Millisecond},
	} {
		freed := make(chan struct{})
		func() {
			near, far := memPipe(0)
			defer far.Close()
			nc := &struct{ net.Conn }{near} // the connection refers to it, and it does not refer back
			runtime.SetFinalizer(nc, func(any) { close(freed) })
			c := NewClient(nc)
			c.conn.failAfter(times[0], ErrClosed)
			c.conn.failAfter(times[1], ErrClosed)
			within(t, "the end of the connection", c.conn.done)
			within(t, "OnClose", c.userClosed)
		}()
		waitFor(t, "the connection to be freed", func() bool {
			runtime.GC()
			return isClosed(freed)
		})
	}
}
