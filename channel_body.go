package ttrpc

import "net"

// This file is how a channel reads a frame's payload. The length of a frame is the peer's
// claim: its buffer grows with the bytes that come.

const (
	// firstBodyLength is up to which length a payload gets a buffer of its length at
	// its first byte. It is the size of a class of buffers.
	firstBodyLength = 64<<10 + bufferSlack

	// bodyGrowth is how many times longer than the bytes that have come a buffer may
	// become. A longer payload takes two steps, the last of which is that long: no more
	// than a tenth of it is copied.
	bodyGrowth = 16
)

// readsPieces reports whether a connection that is no kernel socket may be read, and
// written, in pieces of any length: *tls.Conn may, which makes a program megabytes larger that names it. See
// minReadLength for others.
func readsPieces(nc net.Conn) bool {
	_, isTLS := nc.(interface {
		NetConn() net.Conn
		OCSPResponse() []byte
	})
	return isTLS
}

// readBody moves bytes into ch.body: those that are there, else from the
// connection. The rest of a big frame is read in place, and in one piece
// if the peer wrote it so and the buffer has room; see minReadLength.
func (ch *channel) readBody() error {
	missing := int(ch.current.length) - len(ch.body.bytes())
	if ch.buffered() {
		b := ch.consume(missing)
		ch.growBody(len(b))
		ch.body.b = append(ch.body.b, b...)
		return nil
	}
	if missing < minReadLength || ch.body == nil && ch.pieces {
		return ch.eof(ch.fill(), 1)
	}
	if ch.sock != nil {
		ch.dropChunk()
	}
	ch.growBody(minReadLength)
	body := ch.body
	room := min(missing, body.free())
	n, err := ch.read(body.b[len(body.b) : len(body.b)+room : len(body.b)+room])
	body.b = body.b[:len(body.b)+n]
	if n > 0 {
		return nil // an error that came with bytes comes again
	}
	return ch.eof(err, 1)
}

// growBody makes room for n bytes more of the payload, which has them: some more on
// connections that are read in pieces, and elsewhere all.
func (ch *channel) growBody(n int) {
	old := ch.body
	if old != nil && old.free() >= n {
		return
	}
	size := int(ch.current.length)
	if ch.pieces {
		size = min(size, max(bodySize(old, size), len(old.bytes())+n))
	}
	ch.body = getBuffer(size)
	ch.body.b = append(ch.body.b, old.bytes()...)
	old.release()
}

// bodySize returns the length of the buffer that comes after old, which may be nil, for a
// payload of length.
func bodySize(old *buffer, length int) int {
	switch {
	case old == nil:
		return firstBodyLength
	case length > bodyGrowth*cap(old.b):
		return length / bodyGrowth
	}
	return length
}

// releaseRead gives back the buffers of the reading half: see conn.endRead. A payload that
// has not come to its end goes to no pool: its peer may have wanted the buffer to grow.
func (ch *channel) releaseRead() {
	ch.dropChunk()
	ch.dropSink()
	if ch.body != nil {
		ch.body.class = -1
		ch.body.release()
		ch.body = nil
	}
}
