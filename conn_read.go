package ttrpc

import (
	"time"

	"google.golang.org/grpc/codes"
)

// This file reads frames, for both roles. Only the goroutine that reads calls the methods:
// the read loop, or a leader on a client (client_read.go).

// connReader is the state of reading between frames. The goroutine that reads owns it.
type connReader struct {
	stalled     *stalledMessage // to deliver before the next read; nil for none
	repliesFull bool            // too many replies wait to be written: see waitReplies
}

// mustWait reports whether reading must wait for something other than a frame. Only the
// read loop may do that.
func (cr *connReader) mustWait() bool { return cr.stalled != nil || cr.repliesFull }

// stalledMessage is a message that found its stream's inbox full.
type stalledMessage struct {
	st *stream
	m  message
}

// readNext waits for the next frame and handles it. It reports whether there may be
// another frame.
func (cn *conn) readNext() (goOn bool) { return cn.readsOn(cn.handleNext()) }

// readsOn reports whether the goroutine that reads goes on after err, the result of
// handleNext. If not, the connection has ended, or another goroutine reads (errReadLent).
func (cn *conn) readsOn(err error) bool {
	switch {
	case err == nil:
		return true
	case err == errReadLent:
		return false
	case cn.ch.interrupted(err), cn.handleError(err):
		return true
	}
	cn.endRead()
	return false
}

// handleNext does the next step: it delivers a stalled message, waits for replies to be
// written, or reads and handles a frame. Only in the read loop may it wait for something
// other than a frame: see mustWait.
//
// An idle read loop waits below handleNext and the functions that it calls. Their variables
// are few: a stack that has grown beyond 2 KiB costs each idle connection that much more.
func (cn *conn) handleNext() error {
	if cn.reader.mustWait() {
		return cn.waitForOthers()
	}
	h, buf, err := cn.ch.readFrame()
	if err != nil {
		return cn.explain(err)
	}
	return cn.endpoint.handleFrame(h, buf)
}

// waitForOthers delivers the stalled message, or waits for replies to be written.
//
//go:noinline
func (cn *conn) waitForOthers() error {
	cn.ch.heard.pause()
	defer cn.ch.heard.note()
	r := &cn.reader
	if s := r.stalled; s != nil {
		r.stalled = nil
		return cn.waitDeliver(s.st, s.m)
	}
	r.repliesFull = false
	return cn.waitReplies()
}

// deliver gives st a message from the peer. If the inbox is full, the message stalls, and
// reading with it. For a message beyond the window of a strict stream it returns a
// *streamError.
func (cn *conn) deliver(st *stream, m message) error {
	switch st.push(m) {
	case full:
		cn.reader.stalled = &stalledMessage{st: st, m: m}
	case overrun:
		return &streamError{h: header{id: st.id, typ: m.typ}, code: codes.ResourceExhausted, err: errOverrun}
	}
	return nil
}

// waitDeliver gives st a message that found the inbox full. It waits for room, and holds up
// the whole connection meanwhile, for as long as inbox.awaitRoom allows; then it returns a
// *streamError of st.
func (cn *conn) waitDeliver(st *stream, m message) error {
	cn.ch.flushReplies()
	cn.pauses.begin()
	defer cn.pauses.end()
	for st.pushAgain(m) == full {
		room, wait := st.awaitRoom()
		timer := time.NewTimer(wait)
		select {
		case <-room:
			timer.Stop()
			continue
		case <-timer.C:
		case <-cn.done:
			timer.Stop()
		}
		m.buf.release()
		return &streamError{h: header{id: st.id, typ: m.typ}, code: codes.ResourceExhausted, err: errNotReceived}
	}
	return nil
}

// replyTimeout is the time for which reading waits for a peer that does not read the
// replies to its refused frames; then the peer loses its connection.
const replyTimeout = 10 * time.Second

// waitReplies waits until the replies to refused frames, which the read loop queues without
// waiting for room, are down to replyLimit. Nothing is read in the meantime: only a peer
// that sends refused frames and does not read the replies holds itself up.
func (cn *conn) waitReplies() error {
	cn.ch.flushReplies()
	timer := time.NewTimer(replyTimeout)
	defer timer.Stop()
	room, progress := cn.ch.w.replyRoom(), cn.ch.w.progress.Load()
	for {
		select {
		case <-room:
			return nil
		case <-cn.done:
			return ErrClosed
		case <-timer.C:
		}
		before := progress
		if progress = cn.ch.w.progress.Load(); progress == before {
			return errProtocol("the peer does not read the replies to what is refused")
		}
		timer.Reset(replyTimeout)
	}
}

// endRead releases the buffers of reading, once the connection has ended and no goroutine
// reads any more.
func (cn *conn) endRead() {
	cn.ch.releaseRead()
	if s := cn.reader.stalled; s != nil {
		cn.reader.stalled = nil
		s.m.buf.release()
	}
}
