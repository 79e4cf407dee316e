package ttrpc

import (
	"context"
	"net"
	"strings"
	"sync/atomic"
	"testing"
)

// Callers by the hundred with big messages fill both directions of a connection,
// and none waits for good (8). Here a round is a call.
func TestRaceFullBothWays(t *testing.T) {
	const callers = 512
	for name, listen := range map[string]func() (net.Listener, func() (net.Conn, error)){
		"unix": func() (net.Listener, func() (net.Conn, error)) {
			l := listen(t)
			return l, func() (net.Conn, error) { return dialLocal(l.Addr().String()) }
		},
		"pipe": func() (net.Listener, func() (net.Conn, error)) {
			l := newScriptedListener()
			return l, func() (net.Conn, error) {
				ours, theirs := net.Pipe()
				l.accepts <- theirs
				return ours, nil
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t, echoMethods())
			l, dial := listen()
			served := goErr(func() error { return s.Serve(context.Background(), l) })
			nc, err := dial()
			if err != nil {
				t.Fatal(err)
			}
			c := NewClient(nc, WithClientLimits(Limits{MaxPendingWrite: 64 << 10}))
			value := strings.Repeat("x", 16<<10)
			var left atomic.Int64
			left.Store(int64(rounds(2 * callers)))
			done := make(chan struct{})
			go func() {
				defer close(done)
				together(times(callers, func(int) {
					for left.Add(-1) >= 0 {
						if err := echo(context.Background(), c, value); err != nil {
							t.Error(err)
							return
						}
					}
				})...)
			}()
			<-done // a deadlock is the end of the test binary's time
			c.Close()
			serverIdle(t, s)
			within(t, "Serve", served)
		})
	}
}
