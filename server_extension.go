package ttrpc

// This file is the server's side of extensions: PROTOCOL.md, section "Extensions".

// WithServerExtensions turns the extensions of this implementation on or off; they are on by
// default. They have no effect on clients that do not offer them. (Not in released versions.)
func WithServerExtensions(on bool) ServerOpt {
	return func(c *serverConfig) error {
		c.extensions = on
		return nil
	}
}

// takeOffer answers a client's offer with our settings, before anything else that the
// server has to say to the request.
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
		cn.ch.w.flush()
	}
}

// queueControl queues a frame of an extension for the goroutine that reads.
func (sc *serverConn) queueControl(frame *buffer) {
	if full := sc.conn.ch.w.enqueueReply(frame); full {
		sc.conn.reader.repliesFull = true
	}
}

// knowsExtension reports whether h is the header of an extension's frame from a client
// that may send it. All others on id 0 are answered as releases do.
func (sc *serverConn) knowsExtension(h header) bool {
	if !h.isExtension() {
		return false
	}
	return sc.conn.ext.is(extended) || sc.conn.ext.is(offered) && h.typ == messageTypeSettings && h.flags.has(flagAck)
}

// handleExtension handles a frame that knowsExtension, and takes over buf. Types that
// this version does not know are ignored.
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

// uses is negotiation.uses.
func (sc *serverConn) uses(f features) bool {
	sc.conn.mu.Lock()
	defer sc.conn.mu.Unlock()
	return sc.conn.ext.uses(f)
}

// takeAck begins to rely on the client: it has our settings.
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

// sayGoawayLocked queues the notice that no call begins any more, for a client that has
// offered, and reports whether it did. The caller sets draining under the same lock: all
// later calls are refused (serverConn.insert).
func (cn *conn) sayGoawayLocked() bool {
	if !cn.ext.maySend(featureGoaway) {
		return false
	}
	cn.ch.w.enqueueControl(goaway{lastID: cn.lastID, text: "the server is shutting down"}.frame())
	return true
}
