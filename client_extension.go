package ttrpc

import (
	"context"
	"fmt"

	"google.golang.org/grpc/codes"
)

// This file is the client's side of extensions: PROTOCOL.md, section "Extensions".

// WithClientExtensions turns the extensions of the protocol on or off; they are on by
// default. A server without extensions skips the client's offer. (Not in released
// versions.)
func WithClientExtensions(on bool) ClientOpts {
	return func(c *Client) { c.cfg.extensions = on }
}

// mayOffer reports whether a request of size bytes carries the offer.
func (c *Client) mayOffer(size int) bool {
	return c.conn.ext.is(offering) && size <= maxOfferRequest && size+c.cfg.conn.settings().sizeOffer() <= c.conn.maxSend()
}

// noteAnswer notes that the server has sent a frame for e.
func (c *Client) noteAnswer(e entry) {
	c.conn.mu.Lock()
	defer c.conn.mu.Unlock()
	if e.place().offers {
		c.conn.ext.answered()
	}
}

// handleControl handles a frame on id 0, and takes over buf. A client without extensions
// ignores such frames, and so does this client until the server has confirmed extensions.
func (c *Client) handleControl(h header, buf *buffer) error {
	defer buf.release()
	switch {
	case h.typ == messageTypeSettings && !h.flags.has(flagAck):
		c.takeSettings(buf.bytes())
	case h.typ == messageTypeResponse && c.conn.ext.is(extended):
		// A proxy has passed the server's settings on, but answers the client's frames
		// as frames that it does not know.
		return fmt.Errorf("%w: a response on id 0, after settings", ErrProtocol)
	case c.conn.ext.is(extended):
		return c.handleExtension(h, buf.bytes())
	}
	return nil
}

// handleExtension handles an extension's frame other than settings, with payload b. It
// ignores types that this version does not know, and types that only clients send.
func (c *Client) handleExtension(h header, b []byte) error {
	switch h.typ {
	case messageTypePing, messageTypePong:
		return c.conn.takePing(h.typ, b)
	case messageTypeMetadata:
		return c.takeMetadata(b)
	case messageTypeGoaway:
		if !c.uses(featureGoaway) {
			return nil
		}
		g, ok := parseGoaway(b)
		if !ok {
			return errShortPayload(h)
		}
		c.takeGoaway(g)
	case messageTypeWindow:
		return c.conn.takeWindow(b)
	}
	return nil
}

// takeSettings acknowledges the server's settings if they answer the client's offer. The
// acknowledgement precedes any frame that relies on the settings.
func (c *Client) takeSettings(b []byte) {
	peer, ok := parseSettings(b)
	conn := c.conn
	conn.mu.Lock()
	ack := ok && conn.ext.settled(c.cfg.conn.settings(), peer)
	if ack {
		conn.peerAccepts(peer.messageLimit())
		conn.ch.w.enqueueReply(ackFrame())
		conn.giveWindowsLocked()
		conn.startKeepaliveLocked(c.cfg.keepalive)
	}
	conn.mu.Unlock()
	if ack {
		conn.ch.unflushed = true // the next request shares the write, if it comes soon
	}
}

// uses is negotiation.uses for callers without the lock.
func (c *Client) uses(f features) bool {
	c.conn.mu.Lock()
	defer c.conn.mu.Unlock()
	return c.conn.ext.uses(f)
}

// giveUp takes e out of the table because its caller gives up with err, and sends a cancel
// frame if the server knows those. It reports whether e was there.
func (c *Client) giveUp(e entry, err error) bool {
	conn := c.conn
	conn.mu.Lock()
	removed := c.removeLocked(e)
	tell := removed && conn.ext.maySend(featureCancel)
	if tell {
		can := cancellation{id: e.place().id, code: codes.Canceled}
		if err == context.DeadlineExceeded { // not errors.Is: err may have methods of the user's
			can.code = codes.DeadlineExceeded
		}
		conn.ch.w.enqueueControl(can.frame())
	}
	conn.mu.Unlock()
	if tell {
		conn.ch.w.flush()
	}
	return removed
}
