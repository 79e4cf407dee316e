package ttrpc

import (
	"io"
	"time"
)

// inboxOverhead is the cost of a message beside its bytes, for the limit of an
// inbox: a peer may send many empty ones.
const inboxOverhead = 64

// message is a frame that waits in a stream's inbox, which owns its buffer.
type message struct {
	typ  messageType
	last bool    // the peer sends nothing after it
	none bool    // the frame carried no message
	buf  *buffer // nil for no bytes
}

// size is the cost of the message while it waits, in bytes.
func (m message) size() int { return cap(m.buf.bytes()) + inboxOverhead }

// An inbox holds the messages that have come for a stream until a receiver takes them.
// It is either open or closed with an error; a closed one still hands out the messages
// it has, and then the error. The stream's mu guards it. It never waits and does no
// I/O: the stream wakes receivers, and conn.waitDeliver waits for room.
type inbox struct {
	queue []message // queue[head:] waits
	head  int
	size  int        // of the messages that wait
	space [1]message // the queue of a stream with one message at a time
	err   error      // of a closed inbox; nil while it is open

	// room is not nil while the read loop waits for room; closed when there may be
	// some.
	room chan struct{}

	// lastTake is the connection's pause clock (conn.pauses) when a receiver last took a
	// message, or when the first of those that wait came: a receiver has been late
	// for as long as reading has paused since then.
	lastTake time.Duration
}

func (in *inbox) init(paused time.Duration) {
	in.queue, in.head = in.space[:0], 0
	in.lastTake = paused
}

// put adds a message and takes over its buffer, unless it returns false: then the
// inbox is full, with limit bytes. Its last message always fits. A closed inbox drops
// messages. paused is the pause clock.
func (in *inbox) put(m message, limit int, paused time.Duration) bool {
	if in.err != nil {
		m.buf.release()
		return true
	}
	if !m.last && in.size > 0 && in.size >= limit {
		return false
	}
	if m.none {
		m.buf.release()
		return true
	}
	if in.empty() {
		in.lastTake = paused // no receiver is late yet
	}
	in.append(m)
	in.size += m.size()
	return true
}

// append adds to the queue, in the place of messages that were taken if there is no
// other.
func (in *inbox) append(m message) {
	if in.head > 0 && (in.empty() || len(in.queue) == cap(in.queue) && in.head > len(in.queue)/2) {
		n := copy(in.queue, in.queue[in.head:])
		for i := n; i < len(in.queue); i++ {
			in.queue[i] = message{}
		}
		in.queue, in.head = in.queue[:n], 0
	}
	grows := len(in.queue) == cap(in.queue)
	in.queue = append(in.queue, m)
	if grows {
		in.space = [1]message{} // its message has moved, and may outlive the stream there
	}
}

// take removes the next message, whose buffer is the caller's then. Without one it
// returns false and the error of a closed inbox. paused is the pause clock.
func (in *inbox) take(paused time.Duration) (m message, ok bool, err error) {
	if in.empty() {
		return message{}, false, in.err
	}
	m = in.queue[in.head]
	in.queue[in.head] = message{}
	in.head++
	in.size -= m.size()
	in.lastTake = paused
	in.giveRoom()
	return m, true, nil
}

func (in *inbox) empty() bool { return in.head == len(in.queue) }

// ready reports whether take has something to return.
func (in *inbox) ready() bool { return !in.empty() || in.err != nil }

// close closes the inbox with err, unless it is closed.
func (in *inbox) close(err error) {
	if in.err == nil {
		in.err = err
		in.giveRoom()
	}
}

// discard drops the messages that wait, and closes the inbox. One that was closed
// before has another error now if messages are lost: io.EOF would say that all were
// received.
func (in *inbox) discard(err error) {
	if in.err == io.EOF && !in.empty() {
		in.err = nil
	}
	for i, m := range in.queue {
		m.buf.release()
		in.queue[i] = message{}
	}
	in.queue, in.head, in.size = nil, 0, 0
	in.close(err)
}

// awaitRoom returns a channel that is closed when the inbox may have room again, and
// how much longer the connection may pause for that: slowConsumerLimit in all since a
// receiver last took a message, however many streams are full. paused is the pause
// clock.
func (in *inbox) awaitRoom(limit int, paused time.Duration) (<-chan struct{}, time.Duration) {
	if in.err != nil || in.size < limit {
		return closedChan, slowConsumerLimit
	}
	if in.room == nil {
		in.room = make(chan struct{})
	}
	return in.room, in.lastTake + slowConsumerLimit - paused
}

func (in *inbox) giveRoom() {
	if in.room != nil {
		close(in.room)
		in.room = nil
	}
}
