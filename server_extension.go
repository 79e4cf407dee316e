package ttrpc

// This file is the server's side of extensions: PROTOCOL.md, section "Extensions".

// WithServerExtensions turns the extensions of the protocol on or off; they are on by
// default. They have no effect on clients that do not offer them. (Not in released
// versions.)
func WithServerExtensions(on bool) ServerOpt {
	return func(c *serverConfig) error {
		c.extensions = on
		return nil
	}
}

// takeOffer answers a client's offer with the server's settings, before any other answer to
// the request.
func (sc *serverConn) takeOffer(b []byte) {
	cn := sc.conn
	own := sc.server.cfg.conn.settings()
	if !sc.server.cfg.extensions || !cn.ext.is(plain) {
		return
	}
	peer, ok := parseSettings(b)
	if !ok {
		return
	}
	cn.mu.Lock()
	answer := cn.ext.offer(own, peer)
	if answer {
		cn.peerAccepts(peer.messageLimit())
		sc.queueControl(settingsFrame(own))
		if cn.draining {
			cn.sayGoawayLocked()
		}
	}
	cn.mu.Unlock()
	if answer {
		cn.ch.unflushed = true // the response of a quick handler shares the write
	}
}

// queueControl queues a frame of an extension. Only the goroutine that reads calls it.
func (sc *serverConn) queueControl(frame *buffer) {
	if full := sc.conn.ch.w.enqueueReply(frame); full {
		sc.conn.reader.repliesFull = true
	}
}

// knowsExtension reports whether h is the header of an extension's frame that the client
// may send in this state of the negotiation. Every other frame on id 0 gets the answer of
// releases.
func (sc *serverConn) knowsExtension(h header) bool {
	if !h.isExtension() {
		return false
	}
	return sc.conn.ext.is(extended) || sc.conn.ext.is(offered) && h.typ == messageTypeSettings && h.flags.has(flagAck)
}

// handleExtension handles a frame that knowsExtension accepts, and takes over buf. It
// ignores types that this version does not know.
func (sc *serverConn) handleExtension(h header, buf *buffer) error {
	defer buf.release()
	ok, b := true, buf.bytes()
	switch {
	case h.typ == messageTypeSettings:
		sc.takeAck()
	case h.typ == messageTypeCancel && sc.uses(featureCancel):
		var can cancellation
		if can, ok = parseCancellation(b); ok {
			sc.takeCancel(can)
		}
	case h.typ == messageTypePing || h.typ == messageTypePong:
		return sc.conn.takePing(h.typ, b)
	case h.typ == messageTypeWindow:
		return sc.conn.takeWindow(b)
	}
	if !ok {
		return errShortPayload(h)
	}
	return nil
}

// uses is negotiation.uses for callers without the lock.
func (sc *serverConn) uses(f features) bool {
	sc.conn.mu.Lock()
	defer sc.conn.mu.Unlock()
	return sc.conn.ext.uses(f)
}

// takeAck handles the acknowledgement: the client has the server's settings, and the server
// relies on extensions from now on.
func (sc *serverConn) takeAck() {
	cn := sc.conn
	cn.mu.Lock()
	first := cn.ext.acknowledged()
	if first {
		cn.giveWindowsLocked()
		cn.startKeepaliveLocked(sc.server.cfg.keepalive)
	}
	cn.mu.Unlock()
	if first {
		cn.ch.w.flush()
	}
}

// sayGoawayLocked queues the announcement that no more calls begin, if the client has
// offered extensions. It reports whether it queued the frame. The caller sets draining
// under the same lock, so that serverConn.insert refuses all later calls.
func (cn *conn) sayGoawayLocked() bool {
	if !cn.ext.maySend(featureGoaway) {
		return false
	}
	cn.ch.w.enqueueControl(goaway{lastID: cn.lastID, text: "the server is shutting down"}.frame())
	return true
}
