//go:build go1.25

package ttrpc

import (
	"fmt"
	"io"
	"testing"
	"time"
)

// waiting returns a message for an inbox.
func waiting(s string) message {
	buf := getBuffer(len(s))
	buf.b = append(buf.b, s...)
	return message{typ: messageTypeData, buf: buf}
}

// takeText takes a message out of in and returns its text, or the failure of take.
func takeText(in *inbox) string {
	m, ok, err := in.take(0)
	if !ok {
		return fmt.Sprint(err)
	}
	defer m.buf.release()
	return string(m.buf.bytes())
}

// Messages leave in the order in which they came, however the queue moves and grows
// meanwhile.
func TestInboxOrder(t *testing.T) {
	settle(t)
	keepLedger(t, func() {
		for burst := 1; burst < 8; burst++ {
			var in inbox
			in.init(0)
			next, want := 0, 0
			for round := 0; round < 20; round++ {
				for i := 0; i < burst; i++ {
					if !in.put(waiting(fmt.Sprint(next)), 1<<20, 0) {
						t.Fatal("the inbox is full")
					}
					next++
				}
				for i := 0; i < burst-round%2 && want < next; i++ {
					if got := takeText(&in); got != fmt.Sprint(want) {
						t.Fatalf("bursts of %d: got %s, want %d", burst, got, want)
					}
					want++
				}
			}
			in.discard(io.EOF)
			if got := takeText(&in); got != "EOF" {
				t.Errorf("after discard: got %s", got)
			}
			if in.size != 0 {
				t.Errorf("an empty inbox has a size of %d", in.size)
			}
		}
	})
}

// A closed inbox hands out its messages and then its first error, and drops later messages.
func TestInboxClose(t *testing.T) {
	settle(t)
	keepLedger(t, func() {
		var in inbox
		in.init(0)
		if in.ready() {
			t.Error("an empty inbox is ready")
		}
		in.put(waiting("x"), 1, 0)
		in.close(ErrStreamFull)
		in.close(io.EOF)
		if !in.put(waiting("late"), 1, 0) {
			t.Error("a closed inbox is full")
		}
		for _, want := range []string{"x", ErrStreamFull.Error(), ErrStreamFull.Error()} {
			if !in.ready() {
				t.Errorf("not ready for %s", want)
			}
			if got := takeText(&in); got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		}
	})
}

// An inbox with all messages of the peer ends with io.EOF unless some of them are lost.
func TestInboxDiscardComplete(t *testing.T) {
	settle(t)
	keepLedger(t, func() {
		for taken, want := range []string{ErrClosed.Error(), ErrClosed.Error(), "EOF"} {
			var in inbox
			in.init(0)
			in.put(waiting("x"), 1<<20, 0)
			in.put(waiting("x"), 1<<20, 0)
			in.close(io.EOF)
			for i := 0; i < taken; i++ {
				takeText(&in)
			}
			in.discard(ErrClosed)
			if got := takeText(&in); got != want {
				t.Errorf("%d of two were taken: got %s, want %s", taken, got, want)
			}
		}
	})
}

// An inbox accepts one message beyond its limit, and always the last one. Room appears with
// a take or the end, and not before.
func TestInboxRoom(t *testing.T) {
	settle(t)
	keepLedger(t, func() {
		for name, giveRoom := range map[string]func(*inbox){
			"take":    func(in *inbox) { takeText(in) },
			"close":   func(in *inbox) { in.close(io.EOF) },
			"discard": func(in *inbox) { in.discard(io.EOF) },
		} {
			var in inbox
			in.init(0)
			for i := 0; i < 2; i++ {
				if !in.put(waiting("x"), inboxOverhead+300, 0) {
					t.Fatalf("%s: no room for message %d", name, i)
				}
			}
			late := waiting("y")
			if in.put(late, inboxOverhead+300, 0) {
				t.Fatalf("%s: a full inbox takes more", name)
			}
			room, wait := in.awaitRoom(inboxOverhead+300, 300*time.Millisecond)
			if isClosed(room) || wait != slowConsumerLimit-300*time.Millisecond {
				t.Errorf("%s: room in a full inbox, or a wait of %v", name, wait)
			}
			giveRoom(&in)
			if !isClosed(room) {
				t.Errorf("%s: no room after that", name)
			}
			late.last = true
			if !in.put(late, 1, 0) {
				t.Errorf("%s: no room for the last message", name)
			}
			in.discard(io.EOF)
		}
	})
}

// A receiver is late from the arrival of the first waiting message on. Each take gives it
// the whole time again.
func TestInboxLateness(t *testing.T) {
	var in inbox
	in.init(0)
	in.put(waiting("x"), 1, 5*time.Second)
	in.put(waiting("y"), 1<<20, 5*time.Second)
	if _, wait := in.awaitRoom(1, 5*time.Second); wait != slowConsumerLimit {
		t.Errorf("a wait of %v for a receiver that is not late", wait)
	}
	in.take(5*time.Second + 400*time.Millisecond)
	if _, wait := in.awaitRoom(1, 5*time.Second+500*time.Millisecond); wait != slowConsumerLimit-100*time.Millisecond {
		t.Errorf("a wait of %v after a take", wait)
	}
	in.discard(io.EOF)
}

// An inbox that holds just its limit has no room.
func TestInboxAwaitsRoomAtLimit(t *testing.T) {
	var in inbox
	in.init(0)
	in.put(waiting("x"), 1<<20, 0)
	defer in.discard(io.EOF)
	if room, _ := in.awaitRoom(in.size, 0); isClosed(room) {
		t.Error("there is room at the limit")
	}
	if room, _ := in.awaitRoom(in.size+1, 0); !isClosed(room) {
		t.Error("there is no room below the limit")
	}
}

// A full queue, most of whose messages were taken, moves the rest to its front and does
// not grow.
func TestInboxReusesQueue(t *testing.T) {
	var in inbox
	in.init(0)
	in.queue = make([]message, 0, 8)
	defer in.discard(io.EOF)
	for i := 0; i < 8; i++ {
		in.put(waiting("x"), 1<<20, 0)
	}
	for i := 0; i < 5; i++ {
		takeText(&in)
	}
	in.put(waiting("x"), 1<<20, 0)
	if n := cap(in.queue); n != 8 {
		t.Errorf("the queue of 4 messages has grown to %d", n)
	}
	for _, m := range in.queue[4:8] {
		if m.buf != nil {
			t.Error("the queue keeps a message that has moved")
		}
	}
}

// The waiting messages move only if that avoids growing the queue.
func TestInboxMovesSeldom(t *testing.T) {
	var in inbox
	in.init(0)
	in.queue = make([]message, 0, 8)
	defer in.discard(io.EOF)
	for i := 0; i < 3; i++ {
		in.put(waiting("x"), 1<<20, 0)
	}
	takeText(&in)
	takeText(&in)
	in.put(waiting("x"), 1<<20, 0)
	if in.head != 2 {
		t.Error("the messages were moved, although the queue had room")
	}
}

// A closed inbox has room, however much it holds: it drops more messages.
func TestInboxClosedHasRoom(t *testing.T) {
	var in inbox
	in.init(0)
	in.put(waiting("x"), 1<<20, 0)
	in.close(io.EOF)
	defer in.discard(io.EOF)
	if room, _ := in.awaitRoom(in.size, 0); !isClosed(room) {
		t.Error("there is no room")
	}
}

// An empty inbox takes any message, and one that holds just its limit no more. A receiver
// is late from the first of them.
func TestInboxTakesUpToLimit(t *testing.T) {
	var in inbox
	in.init(0)
	defer in.discard(io.EOF)
	if !in.put(waiting("x"), 0, 5) {
		t.Fatal("an empty inbox is full")
	}
	in.put(waiting("x"), 1<<20, 9)
	if in.lastTake != 5 {
		t.Errorf("the receiver is late from %v, want 5ns", in.lastTake)
	}
	m := waiting("x")
	if in.put(m, in.size, 9) {
		t.Fatal("an inbox at its limit takes a message")
	}
	m.buf.release()
}

// The last message is packed if the waiting ones take more than most bytes.
func TestInboxPacks(t *testing.T) {
	var in inbox
	in.init(0)
	in.pack(-1)
	in.put(waiting("x"), 1<<20, 0)
	defer in.discard(io.EOF)
	before := in.size
	in.pack(before)
	if in.size != before {
		t.Errorf("%d bytes wait after pack at the limit, want %d", in.size, before)
	}
	in.pack(before - 1)
	if want := 1 + inboxOverhead; in.size != want {
		t.Errorf("%d bytes wait after pack, want %d", in.size, want)
	}
}
