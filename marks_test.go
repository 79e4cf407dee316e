package ttrpc

import (
	"fmt"
	"reflect"
	"testing"
)

// Marks are reached in the order of their offsets, and marks of the same offset in the
// order of their arrival. All channels are closed before the first function runs.
func TestMarks(t *testing.T) {
	for _, test := range []struct {
		name    string
		add     []int64
		reach   []int64
		reached [][]int // the marks that each step reaches, by their index in add
	}{
		{"none", nil, []int64{5}, [][]int{nil}},
		{"in order", []int64{1, 2, 2, 3}, []int64{0, 1, 2, 9}, [][]int{nil, {0}, {1, 2}, {3}}},
		{"out of order", []int64{5, 1, 3, 1}, []int64{1, 4, 5}, [][]int{{1, 3}, {2}, {0}}},
		{"all at once", []int64{2, 1}, []int64{7, 7}, [][]int{{1, 0}, nil}},
	} {
		var ms marks
		var ran []int
		channels := make([]chan struct{}, len(test.add))
		for i, offset := range test.add {
			i := i
			channels[i] = make(chan struct{})
			ms.add(mark{offset: offset, reached: channels[i]})
			ms.add(mark{offset: offset, run: func() { ran = append(ran, i) }})
		}
		for i, offset := range test.reach {
			ran = nil
			reached := ms.reach(offset)
			if len(ran) > 0 {
				t.Errorf("%s: reach runs functions: %v", test.name, ran)
			}
			for j, c := range channels {
				if want := test.add[j] <= offset; isClosed(c) != want {
					t.Errorf("%s: at %d the channel of mark %d is closed: %v", test.name, offset, j, !want)
				}
			}
			reached.run()
			if !reflect.DeepEqual(ran, test.reached[i]) {
				t.Errorf("%s: at %d got marks %v, want %v", test.name, offset, ran, test.reached[i])
			}
		}
		if ms != nil {
			t.Errorf("%s: %d marks are left", test.name, len(ms))
		}
	}
}

// Marks that are added while functions of others run do not change those.
func TestMarksAddedMeanwhile(t *testing.T) {
	var ms marks
	var ran []string
	for i := 0; i < 3; i++ {
		i := i
		ms.add(mark{offset: int64(i), run: func() {
			ran = append(ran, fmt.Sprint(i))
			ms.add(mark{offset: 1, run: func() { ran = append(ran, fmt.Sprint("late ", i)) }})
		}})
	}
	ms.reach(1).run()
	if want := []string{"0", "1"}; !reflect.DeepEqual(ran, want) {
		t.Fatalf("got %q, want %q", ran, want)
	}
	ran = nil
	ms.reach(2).run()
	if want := []string{"late 0", "late 1", "2"}; !reflect.DeepEqual(ran, want) {
		t.Errorf("got %q, want %q", ran, want)
	}
}

// markedWriter is a writer on a connection whose writes wait for proceed.
func markedWriter(t *testing.T) (w *writer, lengths <-chan int, proceed chan<- struct{}) {
	t.Helper()
	near, far := memPipe(0)
	t.Cleanup(func() { far.Close() })
	writes, permits := make(chan int, 100), make(chan struct{}, 100)
	ch := newChannel(&countedConn{Conn: near, lengths: writes, proceed: permits}, 1<<20, 1<<20, func(error) {})
	t.Cleanup(func() {
		close(permits)
		ch.close()
	})
	return &ch.w, writes, permits
}

// testFrame returns a frame of n bytes.
func testFrame(n int) *buffer {
	buf := getBuffer(n)
	buf.b = buf.b[:n]
	return buf
}

func queueFrame(t *testing.T, w *writer, n int) {
	t.Helper()
	if !w.room.tryTake(n) {
		t.Fatal("no room")
	}
	w.enqueue(testFrame(n))
	w.flush()
}

// A writer's marks are at the end of the queue at the time when they are made: later frames
// do not hold them up. Their functions run without the writer's lock.
func TestWriterMarks(t *testing.T) {
	w, lengths, proceed := markedWriter(t)
	if !isClosed(w.written()) {
		t.Error("nothing is queued, and is not written")
	}
	ran := make(chan int, 3)
	w.whenFlushed(func() { ran <- 0 })
	if n := within(t, "whenFlushed of nothing", ran); n != 0 {
		t.Fatalf("function %d", n)
	}
	queueFrame(t, w, 100)
	within(t, "a write", lengths)
	first := w.written()
	w.whenFlushed(func() {
		w.mu.Lock() // is free while the function runs
		ran <- 1
		w.mu.Unlock()
	})
	queueFrame(t, w, 200)
	second := w.written()
	w.whenFlushed(func() { ran <- 2 })
	proceed <- struct{}{}
	if n := within(t, "the second write", lengths); n != 200 {
		t.Fatalf("a write of %d bytes", n)
	}
	within(t, "the first frame", first)
	if n := within(t, "the first function", ran); n != 1 {
		t.Errorf("function %d, want 1", n)
	}
	if isClosed(second) || len(ran) > 0 {
		t.Error("the second frame is written before its write returns")
	}
	proceed <- struct{}{}
	within(t, "the second frame", second)
	if n := within(t, "the second function", ran); n != 2 {
		t.Errorf("function %d, want 2", n)
	}
}

// All marks are reached when nothing can be written any more, and later marks at once.
func TestWriterMarksFailure(t *testing.T) {
	w, lengths, _ := markedWriter(t)
	queueFrame(t, w, 100)
	within(t, "a write", lengths)
	queueFrame(t, w, 100)
	written := w.written()
	ran := make(chan struct{}, 2)
	w.whenFlushed(func() { ran <- struct{}{} })
	w.fail(ErrClosed)
	if !isClosed(written) || len(ran) != 1 {
		t.Error("a mark is not reached")
	}
	w.whenFlushed(func() { ran <- struct{}{} })
	if !isClosed(w.written()) || len(ran) != 2 {
		t.Error("a mark that comes later is not reached")
	}
}

// Replies count from the time when they are queued until the end of the round that writes
// them. Reading waits while more than replyLimit bytes count, and no longer.
func TestReplyRoom(t *testing.T) {
	w, lengths, proceed := markedWriter(t)
	reply := func(n int, full bool) {
		t.Helper()
		if got := w.enqueueReply(testFrame(n)); got != full {
			t.Fatalf("a reply of %d bytes: full %v, want %v", n, got, full)
		}
		w.flush()
	}
	reply(replyLimit, false) // written, in two writes, and forgotten
	proceed <- struct{}{}
	proceed <- struct{}{}
	within(t, "its end", w.written())
	within(t, "a write", lengths)
	within(t, "a write", lengths)
	reply(packetLength, false) // a round of its own
	within(t, "a write", lengths)
	rest := replyLimit - packetLength
	for ; rest > packetLength; rest -= packetLength {
		reply(packetLength, false)
	}
	reply(rest, false)
	if !isClosed(w.replyRoom()) {
		t.Error("there is no room up to the limit")
	}
	reply(100, true)
	room := w.replyRoom()
	if isClosed(room) {
		t.Error("there is room over the limit")
	}
	proceed <- struct{}{} // the first round is over, and there is room
	within(t, "room", room)
	within(t, "a write of the second round", lengths)
	reply(packetLength, true) // the bytes of the round count until it is over
	if room = w.replyRoom(); isClosed(room) {
		t.Error("there is room while the second round is written")
	}
	w.fail(ErrClosed)
	if !isClosed(room) || !isClosed(w.replyRoom()) {
		t.Error("reading waits after the end of writing")
	}
	reply(replyLimit+1, false)
}
