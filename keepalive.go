package ttrpc

import "time"

// A keepalive decides when the peer of a connection is asked for a sign of life, and
// when it counts as dead. Everything that is read is such a sign, a pong as much as a
// response: a peer that reads and writes is not asked.
//
// It decides and remembers, and does nothing else: no I/O, no timers, no locks. The
// function that a connection's one timer calls owns it, and sets that timer again as
// look says. FuzzKeepalive has peers live, hang and die.
type keepalive struct {
	interval time.Duration // of silence, after which the peer is asked
	timeout  time.Duration // of silence after that

	asked    int64 // clock at the last question, which is open until something is heard
	deadline int64 // clock when the peer counts as dead, while a question is open
	due      int64 // clock when look was to be called; 0 before the first time
}

// verdict is the result of keepalive.look.
type verdict uint8

const (
	peerLives verdict = iota // or nobody needs to know
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

// look is to be called again after wait. heard is the clock when something was read
// last, or when the last pause in reading was over; now is it while reading pauses:
// bytes of the peer may lie unread then. While nobody needs the peer, because there
// are no calls, it is not asked, but an open question stays open.
//
// A call of look that comes much too late says that this process did not run, and then
// nobody has read either: the peer gets its time again.
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
		// The interval of the next question begins with the answer to this one.
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
