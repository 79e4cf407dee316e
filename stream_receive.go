package ttrpc

import (
	"context"
	"io"
	"math"
	"time"
)

// This file is the receiving half of a stream: messages enter by push and leave by recv.

// push adds a message that has arrived. It takes over the buffer, unless it returns full.
func (st *stream) push(m message) pushResult {
	st.mu.Lock()
	st.peerClosed = st.peerClosed || m.last
	if st.flow != nil && !st.flow.recv.arrive(uint64(m.cost)) {
		st.mu.Unlock()
		m.buf.release()
		return overrun
	}
	return st.putAndUnlock(m)
}

// pushAgain is push for a message that found the inbox full: the message is counted
// already.
func (st *stream) pushAgain(m message) pushResult {
	st.mu.Lock()
	return st.putAndUnlock(m)
}

// putAndUnlock adds a message to the inbox, and unlocks mu. On a strict stream only the
// window limits the inbox, so that reading never waits for the receiver.
func (st *stream) putAndUnlock(m message) pushResult {
	limit := st.conn.maxInbox
	if st.flow != nil && st.flow.recv.strict {
		limit = math.MaxInt
	}
	if !st.inbox.put(m, limit, st.conn.pauses.total()) {
		st.mu.Unlock()
		return full
	}
	stated := m.none && st.consumeLocked(m.cost)
	if st.inbox.size > st.conn.maxInbox/4 {
		st.packLocked()
	}
	if m.last {
		st.inbox.close(io.EOF)
	}
	st.signal()
	st.mu.Unlock()
	if stated {
		st.flushWindow()
	}
	return pushed
}

// pushResult is the result of stream.push.
type pushResult uint8

const (
	pushed  pushResult = iota
	full               // the inbox has no room; the buffer is still the caller's
	overrun            // the peer has sent more than the window of a strict stream
)

func (pr pushResult) String() string { return [...]string{"pushed", "full", "overrun"}[pr] }

// recv returns the next message, which the caller then owns. It waits until there is a
// message, the stream ends or ctx ends. Several goroutines may call it.
func (st *stream) recv(ctx context.Context) (message, error) {
	done := ctx.Done()
	for {
		if m, ok, err := st.poll(); ok || err != nil {
			return m, err
		}
		st.conn.endpoint.receiverWaits(ctx, st)
		select {
		case <-st.wake:
		case <-done:
			// A message or the end of the stream takes precedence.
			if m, ok, err := st.poll(); ok || err != nil {
				return m, err
			}
			return message{}, ctx.Err()
		}
	}
}

// poll is recv without waiting.
func (st *stream) poll() (m message, ok bool, err error) {
	st.mu.Lock()
	m, ok, err = st.inbox.take(st.conn.pauses.total())
	if st.inbox.ready() {
		st.signal() // for the next receiver
	}
	stated := ok && st.flow != nil && st.consumeLocked(m.cost)
	st.mu.Unlock()
	if stated {
		st.flushWindow()
	}
	return m, ok, err
}

// awaitRoom is inbox.awaitRoom. It also wakes senders that wait for the window: see
// openLocked.
func (st *stream) awaitRoom() (<-chan struct{}, time.Duration) {
	st.mu.Lock()
	defer st.mu.Unlock()
	room, wait := st.inbox.awaitRoom(st.conn.maxInbox, st.conn.pauses.total())
	if st.flow != nil && st.inbox.room != nil {
		st.flow.wakeSendersLocked()
	}
	return room, wait
}
