package ttrpc

// A turn is the right to read a client's connection, and with it the reading half of
// the channel. On a kernel socket a receiver that waits for a frame reads it itself
// when nobody else reads: that saves waking one goroutine which only wakes another.
// The turn belongs to one holder at a time:
//
//   - the read loop: at first, while several receivers wait, and while none does:
//     the loop sees the next frame, or the end of the connection;
//   - a receiver that leads: the leader handles every frame that comes, until there
//     is one for itself;
//   - nobody, for a short time after that, in which the next receiver leads. A timer
//     gives the turn to the read loop when none has come.
//
// A turn decides and remembers, and does nothing else: no I/O, no timers, no locks.
// conn.mu guards it. TestTurnWalk tries all orders of its methods.
type turn struct {
	// parked counts the receivers that wait without reading: the slots that have
	// parked set. It is a hint: two receivers of one stream count once, and a wrong
	// count has something read a little later than it could be.
	parked int

	// timed is set while the timer runs that calls expire; used, when a receiver
	// has led since it was started.
	timed, used bool
	holder      turnHolder

	// resume has a token when the read loop holds the turn again. Made when the
	// loop first leaves; received by it alone, so that there is always room.
	resume chan struct{}
}

// turnHolder names the holder of a turn.
type turnHolder uint8

const (
	heldByLoop turnHolder = iota
	heldByLeader
	heldByNobody
)

func (th turnHolder) String() string {
	switch th {
	case heldByLoop:
		return "read loop"
	case heldByLeader:
		return "leader"
	}
	return "nobody"
}

// takeOrPark is for a receiver that is about to wait. It reports whether the
// receiver has the turn and leads; else the receiver is parked.
func (t *turn) takeOrPark(s *slot) (lead bool) {
	if t.holder != heldByNobody {
		t.park(s)
		return false
	}
	t.holder, t.used = heldByLeader, true
	return true
}

func (t *turn) park(s *slot) {
	if !s.parked {
		s.parked = true
		t.parked++
	}
}

// unpark is for a receiver that waits no longer, or is about to be woken. It
// reports whether the receiver was parked.
func (t *turn) unpark(s *slot) bool {
	if !s.parked {
		return false
	}
	s.parked = false
	t.parked--
	return true
}

// mayLeave reports whether the holder may leave the turn to nobody: no parked
// receiver depends on it.
func (t *turn) mayLeave() bool { return t.parked == 0 }

// leave leaves the turn to nobody. It reports whether the caller must start the
// timer that calls expire.
func (t *turn) leave() (startTimer bool) {
	if t.resume == nil {
		t.resume = make(chan struct{}, 1)
	}
	t.holder = heldByNobody
	if t.timed {
		return false
	}
	t.timed, t.used = true, false
	return true
}

// giveBack gives the turn to the read loop. The caller is the leader, or the timer
// when nobody holds it.
func (t *turn) giveBack() {
	t.holder = heldByLoop
	t.resume <- struct{}{}
}

// expire is called by the timer. It reports whether the caller must start the timer
// again: receivers come and go, and nobody reads just now.
func (t *turn) expire() (startTimer bool) {
	t.timed = false
	if t.holder != heldByNobody {
		return false
	}
	if t.used {
		t.timed, t.used = true, false
		return true
	}
	t.giveBack()
	return false
}
