package ttrpc

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
func (r *connReader) mustWait() bool { return r.stalled != nil || r.repliesFull }

// stalledMessage is one that found its stream's inbox full.
type stalledMessage struct {
	st *stream
	m  message
}

// readNext handles the next frame, and waits for it. It reports whether there may be
// another; if not, the connection has ended, or another goroutine reads (errReadLent).
func (c *conn) readNext() (goOn bool) {
	err := c.handleNext()
	switch {
	case err == nil:
		return true
	case err == errReadLent:
		return false
	case c.ch.interrupted(err), c.handleError(err):
		return true
	}
	c.endRead()
	return false
}

// handleNext does the next thing there is to do. It waits for something other than a
// frame only in the read loop: see mustWait.
func (c *conn) handleNext() error {
	r := &c.reader
	if s := r.stalled; s != nil {
		r.stalled = nil
		return c.waitDeliver(s.st, s.m)
	}
	if r.repliesFull {
		r.repliesFull = false
		return c.waitReplies()
	}
	h, buf, err := c.ch.readFrame()
	if err != nil {
		return r.explain(err)
	}
	r.heard = true
	return c.endpoint.handleFrame(h, buf)
}

// deliver gives st a message that the peer sent. If its inbox is full the
// message stalls, and so does reading.
func (c *conn) deliver(st *stream, m message) {
	if !st.push(m) {
		c.reader.stalled = &stalledMessage{st: st, m: m}
	}
}

// endRead frees the buffers of reading, once the connection has ended and nobody
// reads any more.
func (c *conn) endRead() {
	c.ch.releaseRead()
	if s := c.reader.stalled; s != nil {
		c.reader.stalled = nil
		s.m.buf.release()
	}
}
