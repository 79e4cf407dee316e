package ttrpc

import (
	"io"
	"time"
)

// inboxOverhead is the cost of a message besides its bytes, for the limit of an inbox: a
// peer may send many empty messages.
const inboxOverhead = 64

// message is a received frame. While it waits in a stream's inbox, the inbox owns its
// buffer.
type message struct {
	typ  messageType
	last bool    // the peer sends nothing after it
	none bool    // the frame carried no message
	cost uint32  // of its frame, in the window of the stream: see dataCost
	buf  *buffer // nil for no bytes
}

// size returns the cost of a waiting message in bytes.
func (m message) size() int { return cap(m.buf.bytes()) + inboxOverhead }

// An inbox holds the received messages of a stream until a receiver takes them. It is open,
// or closed with an error; a closed inbox still hands out its messages, and then the
// error. stream.mu guards it. An inbox never waits and does no I/O: the stream wakes
// receivers, and conn.waitDeliver waits for room.
type inbox struct {
	queue []message // queue[head:] waits
	head  int
	size  int        // of the messages that wait
	space [1]message // the queue of a stream with one message at a time
	err   error      // of a closed inbox; nil while it is open

	// room is closed when there may be room again; nil unless the read loop waits for it.
	room chan struct{}

	// lastTake is the connection's pause clock (conn.pauses) when a receiver last took a
	// message, or when the first waiting message arrived: the receiver is late by the
	// time for which reading has paused since then.
	lastTake time.Duration
}

func (in *inbox) init(paused time.Duration) {
	in.queue, in.head = in.space[:0], 0
	in.lastTake = paused
}

// put adds a message and takes over its buffer. It returns false, and leaves the buffer to
// the caller, if the inbox holds limit bytes or more; the peer's last message always fits.
// A closed inbox drops messages. paused is the pause clock.
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

// append adds m to the queue. It moves the waiting messages to the front first if that
// avoids growing the queue.
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
		in.space = [1]message{} // its message has moved: do not keep the buffer alive here
	}
}

// pack moves the message that has come last into a buffer of its own length, if the waiting
// messages take more than most bytes: in small messages most of a buffer is empty.
func (in *inbox) pack(most int) {
	if in.size <= most || in.empty() {
		return
	}
	m := &in.queue[len(in.queue)-1]
	in.size -= m.size()
	m.buf = m.buf.packed()
	in.size += m.size()
}

// take removes the next message; the caller then owns its buffer. Without a message, take
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

// close closes the inbox with err. A closed inbox keeps its error.
func (in *inbox) close(err error) {
	if in.err == nil {
		in.err = err
		in.giveRoom()
	}
}

// discard releases the waiting messages and closes the inbox with err. If messages are
// lost, err replaces an earlier io.EOF, which would mean that all were received.
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

// awaitRoom returns a channel that is closed when the inbox may have room again, and the
// time for which the connection may still pause: slowConsumerLimit in total since a
// receiver last took a message, even if several streams are full. paused is the pause
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
