package ttrpc

import (
	"context"
)

// serving is one call of Serve or ServeConn: a context derived from the one that it gave, as the
// parent of the handlers' contexts. It is one of package context: to derive theirs
// runs no code of the user's.
type serving struct {
	server *Server
	ctx    context.Context
	stop   func() // ends ctx and the watch on it, when nobody looks at it any more

	// ended gets the reason for which the connection of a ServeConn ended, once; nil
	// for Serve.
	ended chan error

	// Guarded by server.mu.
	conns    int  // that Serve accepted and that are still there
	returned bool // from Serve
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

// tellCalls has the contexts of the calls on this Serve's connections note the end of
// ctx, also where nobody looks: whether that came before their deadline is not known
// later. Calls that start later look at ctx themselves.
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

// leave says that Serve returns. Its connections may go on.
func (v *serving) leave() {
	v.server.mu.Lock()
	v.returned = true
	unused := v.unusedLocked()
	v.server.mu.Unlock()
	if unused {
		v.stop()
	}
}

// tell has ServeConn return.
func (v *serving) tell(err error) {
	if v.ended != nil {
		v.ended <- err
	}
}

// unusedLocked reports whether no call looks at ctx any more, and none will. The
// caller that made it so calls stop, without the lock: that may run code of the user's
// context.
func (v *serving) unusedLocked() bool { return v.returned && v.conns == 0 }
