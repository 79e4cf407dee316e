package ttrpc

import (
	"context"
)

// serving is the state of one call of Serve or ServeConn. Its ctx, derived from the user's,
// is the parent of the handlers' contexts. As ctx is of package context, deriving from it
// runs no code of the user's.
type serving struct {
	server *Server
	ctx    context.Context
	stop   func() // ends ctx and the watch on it, once no call uses ctx any more

	// ended receives the reason for the end of ServeConn's connection, once, from tell;
	// nil for Serve.
	ended chan error

	// Guarded by server.mu.
	conns    int  // the connections that are left
	returned bool // Serve or ServeConn has returned
}

func (s *Server) newServing(ctx context.Context) *serving {
	v := &serving{server: s, stop: func() {}}
	if ctx.Done() == nil {
		v.ctx = context.WithoutCancel(ctx) // it never ends
		return v
	}
	derived, cancel := context.WithCancel(ctx)
	stopWatch := context.AfterFunc(derived, v.tellCalls)
	v.ctx, v.stop = derived, func() {
		stopWatch()
		cancel()
	}
	return v
}

// tellCalls makes the contexts of running calls record the end of ctx, even those that no
// handler looks at: later it could not be known whether ctx ended before their deadline.
// Calls that start later check ctx themselves. context.AfterFunc runs tellCalls on its own
// goroutine.
func (v *serving) tellCalls() {
	v.server.mu.Lock()
	conns := v.server.connsLocked()
	v.server.mu.Unlock()
	for _, sc := range conns {
		if sc.serving == v {
			sc.tellCalls()
		}
	}
}

// leave is called when Serve or ServeConn returns. Connections of Serve may go on.
func (v *serving) leave() {
	v.server.mu.Lock()
	v.returned = true
	unused := v.unusedLocked()
	v.server.mu.Unlock()
	if unused {
		v.stop()
	}
}

// tell makes ServeConn return because of err. It does nothing for Serve.
func (v *serving) tell(err error) {
	if v.ended != nil {
		v.ended <- err
	}
}

// unusedLocked reports whether no call uses ctx, now or later. The caller then calls stop,
// without the lock: stop may run code of the user's context.
func (v *serving) unusedLocked() bool { return v.returned && v.conns == 0 }
