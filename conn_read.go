package ttrpc

import (
	"time"

	"google.golang.org/grpc/codes"
)

// This file is reading, for both roles. The methods belong to the goroutine that
// reads: the read loop, or on a client a leader (client_read.go).

// connReader is the state of reading that outlives a frame. The goroutine that reads
// owns it.
type connReader struct {
	stalled     *stalledMessage // to deliver before anything else is read
	repliesFull bool            // too many replies wait to be written: see waitReplies
	heard       bool            // a frame has come
}

// mustWait reports whether reading waits for something other than a frame, which the
// read loop alone may do.
func (cr *connReader) mustWait() bool { return cr.stalled != nil || cr.repliesFull }

// stalledMessage is one that found its stream's inbox full.
type stalledMessage struct {
	st *stream
	m  message
}

// readNext handles the next frame, and waits for it. It reports whether there may be
// another; if not, the connection has ended, or another goroutine reads (errReadLent).
func (cn *conn) readNext() (goOn bool) {
	err := cn.handleNext()
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

// handleNext does the next thing there is to do. It waits for something other than a
// frame only in the read loop: see mustWait.
func (cn *conn) handleNext() error {
	r := &cn.reader
	if s := r.stalled; s != nil {
		r.stalled = nil
		return cn.waitDeliver(s.st, s.m)
	}
	if r.repliesFull {
		r.repliesFull = false
		return cn.waitReplies()
	}
	h, buf, err := cn.ch.readFrame()
	if err != nil {
		return r.explain(cn.withoutReset(err))
	}
	r.heard = true
	return cn.endpoint.handleFrame(h, buf)
}

// deliver gives st a message that the peer sent. If its inbox is full the
// message stalls, and so does reading.
func (cn *conn) deliver(st *stream, m message) {
	if !st.push(m) {
		cn.reader.stalled = &stalledMessage{st: st, m: m}
	}
}

// waitDeliver gives st a message although its inbox was full. It waits for room,
// and so does everything else on the connection, for as long as inbox.awaitRoom
// allows; then it returns an error of that stream alone.
func (cn *conn) waitDeliver(st *stream, m message) error {
	cn.ch.flushReplies()
	cn.pauses.begin()
	defer cn.pauses.end()
	for !st.push(m) {
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

// replyTimeout is how long reading waits for a peer that does not read the
// replies to what is refused, before it loses its connection.
const replyTimeout = 10 * time.Second

// waitReplies waits until the replies of whoever reads, who cannot wait for room
// when there is one to send, are written as far as it takes. Nothing is read in
// the meantime: only a peer that sends what is refused, and does not read what it
// gets, waits for itself.
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

// endRead frees the buffers of reading, once the connection has ended and nobody
// reads any more.
func (cn *conn) endRead() {
	cn.ch.releaseRead()
	if s := cn.reader.stalled; s != nil {
		cn.reader.stalled = nil
		s.m.buf.release()
	}
}
