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

func (v verdict) String() string {
	switch v {
	case peerLives:
		return "lives"
	case askPeer:
		return "ask"
	}
	return "dead"
}

// look is to be called again after wait. heard is the clock when something was read
// last, or when the last pause in reading was over; now is it while reading pauses:
// what the peer has sent may lie unread then. While nobody needs the peer, because there
// are no calls, it is not asked, but an open question stays open.
//
// A call of look that comes much too late says that this process did not run, and then
// nobody has read either: the peer gets its time again.
func (k *keepalive) look(now, heard int64, needed bool) (v verdict, wait time.Duration) {
	late := k.due != 0 && now-k.due > int64(k.timeout)/8
	v, wait = k.decide(now, heard, needed, late)
	k.due = now + int64(wait)
	return v, wait
}

func (k *keepalive) decide(now, heard int64, needed, late bool) (verdict, time.Duration) {
	if heard < k.asked {
		if late {
			k.deadline = now + int64(k.timeout)
		}
		if now >= k.deadline {
			return peerDead, k.timeout
		}
		// The interval of the next question begins with the answer to this one.
		return peerLives, min(k.interval, time.Duration(k.deadline-now))
	}
	if !needed {
		return peerLives, k.interval
	}
	if silence := time.Duration(now - heard); silence < k.interval {
		return peerLives, k.interval - silence
	}
	k.asked, k.deadline = now, now+int64(k.timeout)
	return askPeer, min(k.interval, k.timeout)
}
