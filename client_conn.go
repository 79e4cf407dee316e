package ttrpc

import (
	"fmt"
	"io"
	"time"
)

// This file is what a Client is to its conn: see role.

// handleFrame is part of role.
func (c *Client) handleFrame(h header, buf *buffer) error {
	st, err := c.route(h)
	if st == nil {
		buf.release()
		return err
	}
	if st.unary {
		st.result <- unaryResult{buf: buf}
		return nil
	}
	m := message{
		typ:  h.typ,
		last: h.endsClient(),
		// Without remote closed it is what a server of Go sends for nil.
		none: h.typ == messageTypeData && h.flags.has(flagNoData) && h.flags.has(flagRemoteClosed),
		buf:  buf,
	}
	if h.typ == messageTypeResponse {
		if err := openResponse(buf); err != nil {
			buf.release()
			st.refuseSend(io.EOF) // receivers are told why
			st.end(err)
			return nil
		}
	}
	c.conn.deliver(st, m)
	if m.last {
		st.end(io.EOF)
	}
	return nil
}

// openResponse leaves the message of a response in its buffer, or returns the
// error that came with it.
func openResponse(buf *buffer) error {
	r, err := parseResponse(buf.bytes())
	if err == nil {
		err = clientError(r.status)
	}
	if err == nil && buf != nil {
		buf.b = buf.b[:copy(buf.b, r.payload)]
	}
	return err
}

// route finds the stream that a frame is for, and takes it out of the table if
// the frame is its last. It returns nil for a stream that was given up, and for
// frames of a kind that a later version may know: PROTOCOL.md, "What must be
// ignored".
func (c *Client) route(h header) (*stream, error) {
	if h.typ != messageTypeResponse && h.typ != messageTypeData {
		return nil, nil
	}
	c.conn.mu.Lock()
	defer c.conn.mu.Unlock()
	st := c.conn.streams[h.id]
	if st == nil {
		return nil, nil
	}
	if st.unary && h.typ == messageTypeData {
		return nil, &streamError{h: h, err: fmt.Errorf("%w: data on a unary call", ErrProtocol)}
	}
	c.conn.wakingLocked(st)
	if h.endsClient() {
		c.conn.removeLocked(st)
	}
	return st, nil
}

// streamFailed is part of role. A client does not tell the server: the
// protocol has no way to.
func (c *Client) streamFailed(err *streamError) error {
	if t := err.h.typ; t != messageTypeResponse && t != messageTypeData {
		return nil // of a kind that a later version may know
	}
	st := c.conn.lookup(err.h.id)
	if st != nil && c.conn.remove(st) {
		st.end(err.err)
	}
	return nil
}

// writeFailed is part of role. Calls whose requests are not out fail now. The others
// may still be answered, and the end of the last of them is that of the connection.
func (c *Client) writeFailed(err error) {
	conn := c.conn
	sent := conn.ch.writtenBytes()
	var lost []*stream
	conn.mu.Lock()
	conn.unsent = err
	idle := len(conn.streams) == 0
	for _, st := range conn.streams {
		if st.requestEnd > sent {
			conn.removeLocked(st)
			lost = append(lost, st)
		}
	}
	conn.mu.Unlock()
	for _, st := range lost {
		st.end(writeError(err))
	}
	conn.ch.interrupt() // one of them may lead
	switch {
	case idle:
		conn.fail(err)
	case conn.ch.sock != nil:
		conn.failAfter(socketDrainLimit, err)
	default:
		conn.failAfter(drainLimit, err)
	}
}

// ended is part of role. OnClose runs on a goroutine of its own: it may wait
// for what its caller holds.
func (c *Client) ended(error) {
	go func() {
		defer close(c.userClosed)
		if c.cfg.onClose != nil {
			c.cfg.onClose()
		}
	}()
}

// mayLeaveReading is part of role: nobody else waits.
func (c *Client) mayLeaveReading(*stream) bool { return c.conn.reader.parked == 0 }

// idleLimit is for how long nobody reads after a call: until then the end of the
// connection may go unnoticed.
const idleLimit = 10 * time.Millisecond

// idleTimer has the reading goroutine read again when no receiver has led for an
// idleLimit. Guarded by conn.mu.
type idleTimer struct {
	timer   *time.Timer // nil until the first time
	running bool
	taken   bool // a receiver has led since the timer was started
}

// readingLeft is part of role.
func (c *Client) readingLeft() {
	if c.idle.running {
		return
	}
	c.idle.running, c.idle.taken = true, false
	if c.idle.timer == nil {
		c.idle.timer = time.AfterFunc(idleLimit, c.idleExpired)
	} else {
		c.idle.timer.Reset(idleLimit)
	}
}

// readingTaken is part of role.
func (c *Client) readingTaken() { c.idle.taken = true }

func (c *Client) idleExpired() {
	c.conn.mu.Lock()
	c.idle.running = false
	again := c.idle.taken && c.conn.reader.role == readByNobody
	if again {
		c.readingLeft()
	}
	c.conn.mu.Unlock()
	if !again {
		c.conn.readAgain()
	}
}
