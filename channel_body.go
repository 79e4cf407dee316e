package ttrpc

import "net"

// This file reads the payload of a frame. The length of a frame is only the peer's claim:
// the buffer of the payload grows with the bytes that arrive.

const (
	// firstBodyLength is the length of the longest payload that gets its whole buffer at
	// its first byte. It is the size of a class of buffers.
	firstBodyLength = 64<<10 + bufferSlack

	// bodyGrowth limits the growth of a buffer to this many times the bytes that have
	// arrived. The last step, to the length of the payload, copies less than a tenth of
	// a long one.
	bodyGrowth = 16
)

// readsPieces reports whether a connection that is not a kernel socket may be read and
// written in pieces of any length, as a *tls.Conn may. The methods of that type identify
// it: its name would make every program megabytes larger. For other connections see
// minReadLength.
func readsPieces(nc net.Conn) bool {
	_, isTLS := nc.(interface {
		NetConn() net.Conn
		OCSPResponse() []byte
	})
	return isTLS
}

// readBody moves bytes into ch.body, from the chunk if it has some, otherwise from the
// connection. The rest of a large frame is read in place, in one piece if the peer wrote
// one piece and the buffer has room: see minReadLength.
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
		return nil // the next read returns the error again
	}
	return ch.eof(err, 1)
}

// growBody makes room for n more bytes of the payload, and for the whole payload on
// connections that may not be read in pieces.
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

// bodySize returns the size of the buffer that replaces old, which may be nil, for a
// payload of the given length.
func bodySize(old *buffer, length int) int {
	switch {
	case old == nil:
		return firstBodyLength
	case length > bodyGrowth*cap(old.b):
		return length / bodyGrowth
	}
	return length
}

// releaseRead releases the buffers of the reading half: see conn.endRead. The buffer of an
// incomplete payload does not return to a pool: a hostile peer may have made it grow.
func (ch *channel) releaseRead() {
	ch.dropChunk()
	ch.dropSink()
	if ch.body != nil {
		ch.body.class = -1
		ch.body.release()
		ch.body = nil
	}
}
