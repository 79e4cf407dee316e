package ttrpc

import (
	"fmt"
	"math"
	"strings"
	"testing"
)

// A flowWalker makes the moves of a sender, a receiver and the two directions between them,
// and checks the invariants after each move.
type flowWalker struct {
	send    sendWindow
	recv    receiveWindow
	size    uint32
	begun   bool     // the receiver has stated a limit
	data    []uint64 // costs, on the way to the receiver
	inbox   []uint64 // costs, with the receiver
	limits  []uint64 // on the way to the sender
	longest uint64   // of the costs so far
}

// newFlowWalker returns a stream whose window both sides know from the beginning, or a
// stream that began before the end of the negotiation. Both directions have carried offset
// bytes before.
func newFlowWalker(size uint32, strict bool, offset uint64) *flowWalker {
	w := &flowWalker{size: size}
	w.send.sent, w.recv.received, w.recv.consumed = offset, offset, offset
	if strict {
		w.begun = true
		w.send.limit, w.recv = uint64(size), newReceiveWindow(size)
	}
	return w
}

// sendData sends a frame if the window allows it.
func (w *flowWalker) sendData(cost uint64) bool {
	if !w.send.open() {
		return false
	}
	w.send.charge(cost)
	w.data = append(w.data, cost)
	w.longest = max(w.longest, cost)
	return true
}

// begin ends the negotiation at the receiver.
func (w *flowWalker) begin() bool {
	if w.begun {
		return false
	}
	w.begun = true
	if limit, send := w.recv.begin(w.size); send {
		w.limits = append(w.limits, limit)
	}
	return true
}

func (w *flowWalker) arrive() (moved bool, err error) {
	if len(w.data) == 0 {
		return false, nil
	}
	cost := w.data[0]
	w.data = w.data[1:]
	w.inbox = append(w.inbox, cost)
	if !w.recv.arrive(cost) {
		return true, fmt.Errorf("a sender that obeys is taken for one that does not")
	}
	return true, nil
}

func (w *flowWalker) consume() bool {
	if len(w.inbox) == 0 {
		return false
	}
	cost := w.inbox[0]
	w.inbox = w.inbox[1:]
	if limit, send := w.recv.consume(cost); send {
		w.limits = append(w.limits, limit)
	}
	return true
}

func (w *flowWalker) raise() (moved bool, err error) {
	if len(w.limits) == 0 {
		return false, nil
	}
	limit := w.limits[0]
	w.limits = w.limits[1:]
	was := w.send.open()
	if opens := w.send.raise(limit); opens != (!was && w.send.open()) {
		return true, fmt.Errorf("a limit of %d opens the window: %v", limit, opens)
	}
	return true, nil
}

// check returns an error that names the broken invariant.
func (w *flowWalker) check() error {
	onWay, waiting := sum(w.data), sum(w.inbox)
	switch {
	case w.send.sent != w.recv.received+onWay:
		return fmt.Errorf("%d were sent and %d have come, with %d on the way", w.send.sent, w.recv.received, onWay)
	case w.recv.received != w.recv.consumed+waiting:
		return fmt.Errorf("%d have come and %d were consumed, with %d waiting", w.recv.received, w.recv.consumed, waiting)
	case w.send.limit > w.recv.limit:
		return fmt.Errorf("the sender has a limit of %d and the receiver has stated %d", w.send.limit, w.recv.limit)
	case w.recv.strict && waiting > uint64(w.size)+w.longest:
		return fmt.Errorf("%d wait in a window of %d, with messages of up to %d", waiting, w.size, w.longest)
	}
	return nil
}

func sum(costs []uint64) (n uint64) {
	for _, cost := range costs {
		n += cost
	}
	return n
}

// rest lets everything arrive and be consumed, and then returns an error that names the
// broken invariant.
func (w *flowWalker) rest() error {
	w.begin()
	for moved := true; moved; {
		var err error
		if moved, err = w.arrive(); err == nil && !moved {
			moved = w.consume()
		}
		if err == nil && !moved {
			moved, err = w.raise()
		}
		if err == nil {
			err = w.check()
		}
		if err != nil {
			return err
		}
	}
	switch {
	case !w.send.open():
		return fmt.Errorf("everything is consumed, and the sender waits: %+v, %+v", w.send, w.recv)
	case w.send.sent != w.recv.consumed:
		return fmt.Errorf("%d were sent and %d consumed", w.send.sent, w.recv.consumed)
	case w.send.limit != w.recv.limit:
		return fmt.Errorf("the sender has a limit of %d, and the receiver has stated %d", w.send.limit, w.recv.limit)
	case w.size > 0 && w.send.limit-w.send.sent <= uint64(w.size)/2:
		return fmt.Errorf("everything is consumed, and of a window of %d the sender has %d", w.size, w.send.limit-w.send.sent)
	}
	return nil
}

// flowMoves are the moves by name. Each reports whether it was possible.
var flowMoves = []struct {
	name string
	move func(*flowWalker) (bool, error)
}{
	{"a short message", func(w *flowWalker) (bool, error) { return w.sendData(1), nil }},
	{"a message of half a window", func(w *flowWalker) (bool, error) { return w.sendData(uint64(w.size)/2 + 1), nil }},
	{"a long message", func(w *flowWalker) (bool, error) { return w.sendData(2*uint64(w.size) + 1), nil }},
	{"the window begins", func(w *flowWalker) (bool, error) { return w.begin(), nil }},
	{"data arrives", (*flowWalker).arrive},
	{"data is consumed", func(w *flowWalker) (bool, error) { return w.consume(), nil }},
	{"a limit arrives", (*flowWalker).raise},
}

// walkFlow tries all orders of up to depth moves.
func walkFlow(w flowWalker, depth int, path []string) error {
	rested := w.clone()
	if err := rested.rest(); err != nil {
		return fmt.Errorf("after %s, and all that follows: %w", strings.Join(path, ", "), err)
	}
	if depth == 0 {
		return nil
	}
	for _, m := range flowMoves {
		next := w.clone()
		moved, err := m.move(&next)
		if err == nil && moved {
			err = next.check()
		}
		if err != nil {
			return fmt.Errorf("after %s: %w", strings.Join(append(path, m.name), ", "), err)
		}
		if moved {
			if err := walkFlow(next, depth-1, append(path, m.name)); err != nil {
				return err
			}
		}
	}
	return nil
}

func (w *flowWalker) clone() flowWalker {
	c := *w
	c.data, c.inbox, c.limits = append([]uint64(nil), w.data...), append([]uint64(nil), w.inbox...), append([]uint64(nil), w.limits...)
	return c
}

// In every order of sending, arriving and consuming, both sides count the same, a strict
// receiver holds at most its window and one message, and a receiver that consumes
// everything lets the sender go on.
func TestFlowWalk(t *testing.T) {
	if testing.Short() && raceEnabled {
		t.Skip("takes ten seconds, on one goroutine")
	}
	for _, size := range []uint32{0, 1, 2, 3, 10} {
		for _, strict := range []bool{false, true} {
			if err := walkFlow(*newFlowWalker(size, strict, 0), 8, nil); err != nil {
				t.Errorf("a window of %d, strict: %v: %v", size, strict, err)
			}
		}
	}
}

// FuzzFlow is TestFlowWalk with more moves and with arbitrary sizes.
func FuzzFlow(f *testing.F) {
	f.Add(uint32(2<<20), true, uint64(0), []byte("\x00\x02\x80\x03\x04\x81\x05\x06"))
	f.Add(uint32(1), false, uint64(1<<40), []byte("\x00\xff\x00\x03\x04\x05\x04\x05\x06\x06"))
	f.Add(uint32(math.MaxUint32), true, uint64(0), []byte("\x02\xff\x02\xff\x04\x05\x06\x04\x05\x06"))
	f.Fuzz(func(t *testing.T, size uint32, strict bool, offset uint64, moves []byte) {
		if strict {
			offset = 0
		}
		w := newFlowWalker(size, strict, offset%(1<<62))
		for i := 0; i < len(moves); i++ {
			var err error
			if m := int(moves[i]) % (len(flowMoves) + 1); m < len(flowMoves) {
				_, err = flowMoves[m].move(w)
			} else if i++; i < len(moves) {
				w.sendData(1 + uint64(moves[i])*uint64(moves[i])*(1+uint64(size)>>12))
			}
			if err == nil {
				err = w.check()
			}
			if err != nil {
				t.Fatalf("after %d moves: %v", i+1, err)
			}
		}
		if err := w.rest(); err != nil {
			t.Fatal(err)
		}
	})
}

// A receiver states a limit once for each half of a window, not for each message.
func TestFlowFrequency(t *testing.T) {
	w := newReceiveWindow(1000)
	stated := 0
	for i := 0; i < 1000; i++ {
		w.arrive(100)
		if _, send := w.consume(100); send {
			stated++
		}
	}
	if stated != 200 {
		t.Errorf("for 100,000 bytes through a window of 1,000, %d limits are stated, want 200", stated)
	}
}

// On a strict stream, data beyond the limit is an overrun. The first message may begin
// below the limit and end above it; no message may follow.
func TestFlowOverrun(t *testing.T) {
	w := newReceiveWindow(100)
	for i, test := range []struct {
		cost uint64
		ok   bool
	}{{99, true}, {5000, true}, {0, true}, {1, false}} {
		if ok := w.arrive(test.cost); ok != test.ok {
			t.Errorf("frame %d, of %d bytes: %v", i, test.cost, ok)
		}
	}
	full := newReceiveWindow(100)
	if !full.arrive(100) || full.arrive(1) {
		t.Error("data after the limit was reached is not an overrun")
	}
	var old receiveWindow
	old.arrive(5000)
	if limit, send := old.begin(100); limit != 100 || !send {
		t.Errorf("the first limit of an older stream is %d, %v", limit, send)
	}
	if !old.arrive(1) {
		t.Error("data that was on its way is an overrun")
	}
}

// The peer states senseless limits.
func TestFlowHostileLimits(t *testing.T) {
	w := sendWindow{sent: 500}
	for _, test := range []struct {
		limit       uint64
		opens, open bool
	}{
		{0, false, true}, // none
		{400, false, false},
		{300, false, false}, // lower
		{400, false, false}, // again
		{500, false, false}, // as much as was sent
		{501, true, true},
		{math.MaxUint64, false, true},
		{0, false, true},
		{1, false, true},
	} {
		if opens := w.raise(test.limit); opens != test.opens || w.open() != test.open {
			t.Errorf("a limit of %d: opens %v, open %v, want %v and %v", test.limit, opens, w.open(), test.opens, test.open)
		}
	}
	// Nothing wraps around.
	w.charge(math.MaxUint64)
	if w.open() || w.sent != math.MaxUint64 {
		t.Errorf("after 2^64 bytes the window is open: %+v", w)
	}
	r := receiveWindow{received: math.MaxUint64 - 10, consumed: math.MaxUint64 - 10}
	if limit, send := r.begin(100); limit != math.MaxUint64 || !send {
		t.Errorf("near 2^64 the first limit is %d, %v", limit, send)
	}
	r.arrive(100)
	if limit, send := r.consume(100); send {
		t.Errorf("near 2^64 a limit of %d is stated again", limit)
	}
}

func TestDataCost(t *testing.T) {
	for _, test := range []struct {
		h    header
		want uint64
	}{
		{header{typ: messageTypeData}, 64},
		{header{typ: messageTypeData, length: 100}, 164},
		{header{typ: messageTypeData, length: 100, flags: 0x80}, 164},
		{header{typ: messageTypeData, flags: flagNoData}, 64},
		{header{typ: messageTypeData, length: 100, flags: flagRemoteClosed}, 0},
		{header{typ: messageTypeData, flags: flagRemoteClosed | flagNoData}, 0},
		{header{typ: messageTypeRequest, length: 100}, 0},
		{header{typ: messageTypeResponse, length: 100}, 0},
	} {
		if got := dataCost(test.h); got != test.want {
			t.Errorf("%v costs %d, want %d", test.h, got, test.want)
		}
	}
}

// A stream without a limit of its own states none when it begins.
func TestReceiveWindowOfNoSize(t *testing.T) {
	for size, want := range map[uint32]bool{0: false, 1: true} {
		var rw receiveWindow
		if limit, send := rw.begin(size); send != want {
			t.Errorf("size %d: the first limit is %d, sent: %v", size, limit, send)
		}
	}
}
