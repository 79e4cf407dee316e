package ttrpc

// A turn is the right to read a client's connection; its holder owns the reading half of
// the channel. On a kernel socket, a receiver that waits for a frame reads the frame itself
// if nobody else is reading: this saves a wake-up. The turn has one holder at a time:
//
//   - a leader, a receiver that reads, handles every frame until its own frame arrives;
//   - nobody holds it for a short time at first and after each leader, and the next
//     receiver leads. If none arrives, a timer gives the turn to the read loop;
//   - the read loop holds it while several receivers wait, and while no receiver waits: the
//     loop then notices the next frame, or the end of the connection. Its goroutine starts
//     when it first gets the turn.
//
// A turn only keeps state and decides: it does no I/O, starts no timers and takes no
// locks. conn.mu guards it. TestTurnWalk tries all orders of its methods.
type turn struct {
	// parked counts the receivers that wait without reading: the slots with parked set.
	// It is a hint: two receivers of one stream count once, and a wrong count only delays
	// a read a little.
	parked int

	// timed is set while the timer that calls expire runs. used is set when a receiver
	// has led since the timer was started.
	timed, used bool
	holder      turnHolder

	// loopRuns is set when the read loop has a goroutine. resume carries a token when the
	// loop gets the turn back. leave makes it; only the read loop receives from it, so that
	// a send never blocks.
	loopRuns bool
	resume   chan struct{}
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

// takeOrPark is called for a receiver that is about to wait. It reports whether the
// receiver gets the turn and leads; otherwise it parks the receiver.
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

// unpark is called for a receiver that stops waiting or is about to be woken. It reports
// whether the receiver was parked.
func (t *turn) unpark(s *slot) bool {
	if !s.parked {
		return false
	}
	s.parked = false
	t.parked--
	return true
}

// mayLeave reports whether the holder may leave the turn to nobody, because no parked
// receiver depends on the holder.
func (t *turn) mayLeave() bool { return t.parked == 0 }

// leave leaves the turn to nobody. It reports whether the caller must start the
// timer that calls expire.
func (t *turn) leave() (startTimer bool) {
	if t.loopRuns && t.resume == nil {
		t.resume = make(chan struct{}, 1)
	}
	t.holder = heldByNobody
	if t.timed {
		return false
	}
	t.timed, t.used = true, false
	return true
}

// giveBack gives the turn to the read loop. The leader calls it, or anybody while nobody
// holds the turn. It reports whether the caller must start the goroutine of the read loop.
func (t *turn) giveBack() (startLoop bool) {
	t.holder = heldByLoop
	if !t.loopRuns {
		t.loopRuns = true
		return true
	}
	t.resume <- struct{}{}
	return false
}

// expire is called by the timer. It reports whether the caller must start the timer again,
// or call giveBack, because nobody holds the turn and no receiver has led since the timer
// started.
func (t *turn) expire() (startTimer, giveBack bool) {
	t.timed = false
	if t.holder != heldByNobody {
		return false, false
	}
	startTimer = t.used
	t.timed, t.used = startTimer, false
	return startTimer, !startTimer
}
