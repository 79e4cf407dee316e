package ttrpc

import (
	"fmt"
	"net"
	"sync/atomic"
)

// This file counts the calls and connections of a server, for WithServerMaxHandlers and
// WithServerMaxConns.

// callCount counts the running calls of a server, at most max. If max is 0 there is no
// limit, and nothing is counted: the counter would be contended between cores.
type callCount struct {
	max     int64
	running atomic.Int64
}

// begin counts a call and returns true, or returns false if max calls are running.
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

// callOver stops counting a call that insert has counted. The handler has returned, and the
// response is about to be queued or dropped.
func (sc *serverConn) callOver() {
	sc.running.Add(-1)
	sc.server.calls.end()
}

// connLimits are the limits of concurrent connections of a server; 0 means no limit.
type connLimits struct {
	total  int
	perUID int
}

// connUID is the uid for which a connection counts, if it is known.
type connUID struct {
	id    uint32
	known bool
}

// uidOfSocket returns the uid of nc's peer, if the limits need it and the system knows it.
func (s *Server) uidOfSocket(nc net.Conn) connUID {
	if s.cfg.maxConns.perUID == 0 {
		return connUID{}
	}
	return socketUID(nc)
}

// admitConnLocked counts an accepted connection that is about to be added to s.conns, or
// returns an error that refuses it. For every end of the connection or its handshake,
// Server.forgetConn, and nothing else, undoes the count.
func (s *Server) admitConnLocked(sc *serverConn, uid connUID) error {
	if limit := s.cfg.maxConns.total; limit > 0 && len(s.conns) >= limit {
		return fmt.Errorf("more than %s", plural(limit, "connection"))
	}
	return s.countConnLocked(sc, uid)
}

// countConnLocked makes the connection count for uid, or returns an error and changes
// nothing.
func (s *Server) countConnLocked(sc *serverConn, uid connUID) error {
	limit := s.cfg.maxConns.perUID
	if limit > 0 && uid.known && uid != sc.uid && s.byUID[uid.id] >= limit {
		return fmt.Errorf("more than %s of uid %d", plural(limit, "connection"), uid.id)
	}
	s.setUIDLocked(sc, uid)
	return nil
}

// setUIDLocked moves the connection from its uid's count to that of another uid.
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

// turnAway is the goroutine that closes a connection that was never counted: the close may
// wait for its peer, and the accept loop must not. It ends within lingerLimit, and with the
// logger.
func (sc *serverConn) turnAway(err error) {
	closeConn(sc.nc, false)
	sc.server.log.event(logRefused, "connection %s refused: %v", sc.describe(), err)
	sc.serving.tell(err)
}
