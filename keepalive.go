package ttrpc

import "time"

// A keepalive decides when to ping the peer of a connection, and when the peer counts as
// dead. Any bytes from the peer show that it is alive, so that a peer that keeps sending is
// not pinged.
//
// A keepalive only keeps state and decides: it does no I/O, starts no timers and takes no
// locks. The function of the connection's one timer owns it, and restarts that timer as
// look says. FuzzKeepalive simulates peers that live, hang and die.
type keepalive struct {
	interval time.Duration // the silence after which the peer is pinged
	timeout  time.Duration // the further silence after which the peer counts as dead

	asked    int64 // clock at the last ping, which is open until bytes are read
	deadline int64 // clock at which the peer counts as dead, while a ping is open
	due      int64 // clock at which look should be called; 0 before the first time
}

// verdict is the result of keepalive.look.
type verdict uint8

const (
	peerLives verdict = iota // or no call needs the peer
	askPeer                  // send a ping
	peerDead
)

func (vd verdict) String() string {
	switch vd {
	case peerLives:
		return "lives"
	case askPeer:
		return "ask"
	}
	return "dead"
}

// look returns a verdict, and the time after which the caller must call it again. heard is
// the clock when bytes were last read or a pause in reading was over. While reading pauses,
// heard is now, since bytes of the peer may be waiting unread. While needed is false,
// because no calls run, look asks for no ping, but an earlier ping stays open.
//
// If look is called much too late, this process did not run, and nobody has read in the
// meantime: the peer gets its time again.
func (ka *keepalive) look(now, heard int64, needed bool) (v verdict, wait time.Duration) {
	late := ka.due != 0 && now-ka.due > int64(ka.timeout)/8
	v, wait = ka.decide(now, heard, needed, late)
	ka.due = now + int64(wait)
	return v, wait
}

func (ka *keepalive) decide(now, heard int64, needed, late bool) (verdict, time.Duration) {
	if heard < ka.asked {
		if late {
			ka.deadline = now + int64(ka.timeout)
		}
		if now >= ka.deadline {
			return peerDead, ka.timeout
		}
		// The interval before the next ping begins with the answer to this one.
		return peerLives, min(ka.interval, time.Duration(ka.deadline-now))
	}
	if !needed {
		return peerLives, ka.interval
	}
	if silence := time.Duration(now - heard); silence < ka.interval {
		return peerLives, ka.interval - silence
	}
	ka.asked, ka.deadline = now, now+int64(ka.timeout)
	return askPeer, min(ka.interval, ka.timeout)
}
