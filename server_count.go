package ttrpc

import (
	"fmt"
	"net"
	"sync/atomic"
)

// This file counts the calls and the connections of a whole server, for WithServerMaxHandlers and WithServerMaxConns.

// callCount is how many calls run on a server, of which there may be max; 0 is no
// limit, and then none are counted: the cores would share a line of their caches.
type callCount struct {
	max     int64
	running atomic.Int64
}

// begin counts a call, and reports whether there may be one more.
func (cnt *callCount) begin() bool {
	if cnt.max == 0 {
		return true
	}
	for {
		n := cnt.running.Load()
		if n >= cnt.max {
			return false
		}
		if cnt.running.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// end undoes begin.
func (cnt *callCount) end() {
	if cnt.max > 0 {
		cnt.running.Add(-1)
	}
}

// callOver stops counting a call that insert has let in. Its handler has returned, and
// its response is about to be queued or dropped.
func (sc *serverConn) callOver() {
	sc.running.Add(-1)
	sc.server.calls.end()
}

// connLimits are how many connections a server has at once; 0 is no limit.
type connLimits struct {
	total  int
	perUID int
}

// connUID is the user for whom a connection counts.
type connUID struct {
	id    uint32
	known bool
}

// uidOfSocket returns the user who connected nc, if the limits need it and the system
// tells.
func (s *Server) uidOfSocket(nc net.Conn) connUID {
	if s.cfg.maxConns.perUID == 0 {
		return connUID{}
	}
	return socketUID(nc)
}

// admitConnLocked counts a connection that was accepted and is about to be in s.conns,
// or returns an error that refuses it. Server.forgetConn undoes it, and nothing else,
// at any end of the connection or its handshake.
func (s *Server) admitConnLocked(sc *serverConn, uid connUID) error {
	if limit := s.cfg.maxConns.total; limit > 0 && len(s.conns) >= limit {
		return fmt.Errorf("more than %d connections", limit)
	}
	return s.countConnLocked(sc, uid)
}

// countConnLocked makes uid the user for whom the connection counts, or returns an
// error, and then nothing has happened.
func (s *Server) countConnLocked(sc *serverConn, uid connUID) error {
	limit := s.cfg.maxConns.perUID
	if limit > 0 && uid.known && uid != sc.uid && s.byUID[uid.id] >= limit {
		return fmt.Errorf("more than %d connections of uid %d", limit, uid.id)
	}
	s.setUIDLocked(sc, uid)
	return nil
}

// setUIDLocked moves the connection from one user's count to another's.
func (s *Server) setUIDLocked(sc *serverConn, uid connUID) {
	if s.cfg.maxConns.perUID == 0 {
		return
	}
	if sc.uid.known {
		if s.byUID[sc.uid.id]--; s.byUID[sc.uid.id] == 0 {
			delete(s.byUID, sc.uid.id)
		}
	}
	if sc.uid = uid; uid.known {
		s.byUID[uid.id]++
	}
}

// turnAway closes a connection that was never counted. The accept loop calls it.
func (sc *serverConn) turnAway(err error) {
	closeConn(sc.nc)
	sc.server.log.event(logRefused, "connection %s refused: %v", sc.describe(), err)
}
