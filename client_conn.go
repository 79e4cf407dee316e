package ttrpc

import "io"

// This file implements endpoint for Client.

// handleFrame is part of endpoint.
func (c *Client) handleFrame(h header, buf *buffer) error {
	if h.id == 0 {
		return c.handleControl(h, buf)
	}
	e, err := c.route(h)
	switch e := e.(type) {
	case *call:
		e.result <- callResult{buf: buf}
		return nil
	case *stream:
		return c.receive(e, h, buf)
	}
	buf.release()
	return err
}

// receive delivers a frame to its stream. The last frame ends the stream.
func (c *Client) receive(st *stream, h header, buf *buffer) error {
	m := message{
		typ:  h.typ,
		last: h.endsClient(),
		// Without remote closed, such a frame is a Go server's message nil.
		none: h.typ == messageTypeData && h.flags.has(flagNoData) && h.flags.has(flagRemoteClosed),
		cost: uint32(dataCost(h)),
		buf:  buf,
	}
	if h.typ == messageTypeResponse {
		if err := openResponse(buf, maxDetails(c.cfg.conn.maxLength)); err != nil {
			buf.release()
			st.refuseSend(io.EOF) // only receivers get err
			st.end(err)
			return nil
		}
	}
	if err := c.conn.deliver(st, m); err != nil {
		return err
	}
	if m.last {
		st.end(io.EOF)
	}
	return nil
}

// openResponse leaves the message of a response in its buffer. It returns the error that
// the response carries, or an error for a status with more than most details.
func openResponse(buf *buffer, most int) error {
	r, err := parseResponse(buf.bytes(), most)
	if err == nil {
		err = clientError(r.status)
	}
	if err == nil && buf != nil {
		buf.b = buf.b[:copy(buf.b, r.payload)]
	}
	return err
}

// route returns the stream or call of a frame, and takes it out of the table if the frame
// is its last one. It returns nil for a stream that was given up, and for frames of a type
// that a later version may know: PROTOCOL.md, "What must be ignored".
func (c *Client) route(h header) (entry, error) {
	if h.typ != messageTypeResponse && h.typ != messageTypeData {
		return nil, nil
	}
	c.conn.mu.Lock()
	defer c.conn.mu.Unlock()
	e := c.conn.streams[h.id]
	if e == nil {
		return nil, nil
	}
	if e.place().offers {
		c.conn.ext.answered()
	}
	_, unary := e.(*call)
	if unary && h.typ == messageTypeData {
		return nil, &streamError{h: h, err: errProtocol("data on a unary call: the method is a stream; call it with NewStream")}
	}
	if h.typ == messageTypeResponse && c.conn.notice.beyondLocked(h.id) {
		return nil, &streamError{h: h, err: ErrDraining}
	}
	if c.reader.turn.unpark(e.place()) {
		c.reader.woke = true
	}
	if h.endsClient() {
		c.removeLocked(e)
	}
	if unary {
		c.answered++
	}
	return e, nil
}

// streamFailed is part of endpoint. It sends a cancel frame if the server knows those and
// may have more to send.
func (c *Client) streamFailed(err *streamError) error {
	if t := err.h.typ; t != messageTypeResponse && t != messageTypeData {
		return nil // a type that a later version may know
	}
	e := c.conn.lookup(err.h.id)
	if e == nil {
		return nil
	}
	leave := c.remove
	if !err.h.endsClient() {
		leave = func(e entry) bool { return c.giveUp(e, err.err) }
	}
	if leave(e) {
		c.noteAnswer(e)
		e.end(err.err)
	}
	return nil
}

// writeFailed is part of endpoint. Calls whose requests were not written completely fail at
// once. The others may still get their responses, and the connection ends with the last of
// them. A connection without others ends within lingerLimit, or as soon as the read loop has
// read why: a peer that refuses a connection may have said so before it closed.
func (c *Client) writeFailed(err error) {
	conn := c.conn
	sent := conn.ch.w.writtenBytes()
	var lost []entry
	conn.mu.Lock()
	for _, e := range conn.streams {
		if e.place().requestEnd > sent {
			c.removeLocked(e)
			lost = append(lost, e)
		}
	}
	conn.unsent = err // after the loop: the last entry to leave would end the connection
	idle := len(conn.streams) == 0 && !conn.awaitsNoticeLocked()
	if idle {
		c.ensureReaderLocked()
	}
	conn.mu.Unlock()
	for _, e := range lost {
		e.end(writeError(err))
	}
	conn.ch.interrupt() // the caller of a lost call may be the leader
	switch {
	case idle: // reading likely returns the reason first
		conn.failAfter(lingerLimit, err)
	case conn.ch.sock != nil:
		conn.failUnlessHungUp(socketLateLimit, err)
	default:
		conn.failAfter(lateLimit, err)
	}
}

// ended is part of endpoint. OnClose runs on its own goroutine: it may wait for a lock that
// the goroutine which ends the connection holds.
func (c *Client) ended(error) {
	c.conn.mu.Lock()
	c.conn.notice.tellLocked()
	c.conn.mu.Unlock()
	c.endUnread()
	if c.cfg.onClose == nil {
		close(c.userClosed)
		return
	}
	go func() {
		defer close(c.userClosed)
		c.cfg.onClose()
	}()
}
