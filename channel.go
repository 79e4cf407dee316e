package ttrpc

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
)

const (
	// readChunkLength is how much one read takes, other than of a big frame.
	readChunkLength = 32 << 10

	// minReadLength is the least that a read asks for on a connection that
	// is not a kernel socket: a multiplexer may fail a read into a buffer
	// that is smaller than what the peer wrote at once, which for released
	// versions is up to 4096 bytes, and then the rest of the frame.
	minReadLength = 4096
)

// A channel turns a net.Conn into frames. Its reading half is here and belongs
// to the goroutine that reads (conn_read.go); the writing half, in
// channel_write.go, is for everyone.
type channel struct {
	conn net.Conn
	sock *socket // nil when conn is not a kernel socket

	// Read state, of the one who reads.

	chunk     *buffer // what was read and not parsed yet is chunk.b[off:]
	off       int
	current   header  // of the frame that has begun, if inBody or discard say so
	inBody    bool    // its payload is read
	body      *buffer // holds its bytes so far; nil before the first
	discard   int     // bytes of an oversized frame still to be thrown away
	sink      *buffer // takes them where the chunk does not; nil before the first
	maxRead   int     // longest payload that is accepted
	pieces    bool    // a read may have a buffer of any length: see readsPieces
	begun     bool    // the first header has come
	isClient  bool    // the peer is a server
	unflushed bool    // frames were queued that are flushed before reading waits

	closed sync.Once // closes conn

	w writer // the writing half
}

func newChannel(nc net.Conn, maxRead, maxQueued int, failed func(error)) *channel {
	ch := &channel{conn: nc, sock: newSocket(nc), maxRead: maxRead}
	ch.pieces = ch.sock != nil || readsPieces(nc)
	ch.w.init(nc, ch.sock, maxQueued, failed)
	return ch
}

// readFrame returns the next frame. The caller owns its buffer, which is nil
// when the frame has no payload. A *streamError is about that frame alone; any
// other error is final, save for that of an interrupt: then the next readFrame goes on
// with the same frame.
func (ch *channel) readFrame() (header, *buffer, error) {
	if !ch.inBody && ch.discard == 0 {
		if err := ch.beginFrame(); err != nil {
			return ch.current, nil, err
		}
	}
	if ch.discard > 0 {
		return ch.discardFrame()
	}
	for ch.inBody {
		if err := ch.readBody(); err != nil {
			return header{}, nil, err
		}
		ch.inBody = len(ch.body.bytes()) < int(ch.current.length)
	}
	body := ch.body
	ch.body = nil
	return ch.current, body, nil
}

// beginFrame reads the next header, and decides what becomes of its payload.
func (ch *channel) beginFrame() error {
	ch.current = header{}
	for {
		if !ch.begun {
			if err := ch.checkForeign(); err != nil {
				return err
			}
		}
		if len(ch.unparsed()) >= headerLength {
			break
		}
		if err := ch.fill(); err != nil {
			return ch.eof(err, len(ch.unparsed()))
		}
	}
	b := ch.consume(headerLength)
	h, first := parseHeader(b), !ch.begun
	ch.current, ch.begun = h, true
	switch {
	case h.length > maxMessageLengthLimit:
		return errNoHeader(h, b, first)
	case int(h.length) > ch.maxRead:
		ch.discard = int(h.length)
	case h.length > 0:
		ch.inBody = true
	}
	return nil
}

// checkForeign returns an error if the peer's first bytes are of another protocol. It is
// a function of its own, as is errNoHeader, because the read loops of idle connections
// wait below beginFrame: what it has on the stack may cost each of them 2 KiB.
//
//go:noinline
func (ch *channel) checkForeign() error {
	if name := foreignProtocol(ch.unparsed(), ch.isClient); name != "" {
		return errForeign("the peer speaks %s, not ttrpc", name)
	}
	return nil
}

// errNoHeader says that the bytes b, as the header h, are none; first, if the peer has
// sent nothing before.
//
//go:noinline
func errNoHeader(h header, b []byte, first bool) error {
	if first {
		return errForeign("the peer does not speak ttrpc: it begins with %q", b)
	}
	return errProtocol("the first byte of a header is not zero: %v", h)
}

// discardFrame throws the payload of an oversized frame away, and returns the error of
// its stream.
func (ch *channel) discardFrame() (header, *buffer, error) {
	for ch.discard > 0 {
		if err := ch.discardSome(); err != nil {
			return header{}, nil, err
		}
	}
	ch.dropSink()
	return ch.current, nil, &streamError{
		h:    ch.current,
		code: codes.ResourceExhausted,
		err:  checkMessageLength(int(ch.current.length), ch.maxRead, droppedFrame(ch.current.typ)),
	}
}

// buffered says whether readFrame has bytes to go on with.
func (ch *channel) buffered() bool { return len(ch.unparsed()) > 0 }

// frameBuffered says whether readFrame has all of the next frame.
func (ch *channel) frameBuffered() bool {
	b := ch.unparsed()
	return !ch.inBody && ch.discard == 0 && len(b) >= headerLength &&
		len(b)-headerLength >= int(min(parseHeader(b).length, 1<<30)) // an int may have 32 bits
}

// unparsed returns what was read and not consumed.
func (ch *channel) unparsed() []byte {
	if ch.chunk == nil {
		return nil
	}
	return ch.chunk.b[ch.off:]
}

// consume takes up to n unparsed bytes; they are valid until the next fill.
func (ch *channel) consume(n int) []byte {
	b := ch.unparsed()
	if n < len(b) {
		b = b[:n]
	}
	ch.off += len(b)
	return b
}

// discardSome throws bytes of an oversized frame away. The buffer is bounded
// whatever length the frame claims: by the chunk on a socket and TLS, and elsewhere by
// the message limit, since a multiplexer wants the rest of a frame in one read. That
// one serves for the whole frame, in however small pieces it comes.
func (ch *channel) discardSome() error {
	if ch.buffered() {
		ch.discard -= len(ch.consume(ch.discard))
		return nil
	}
	if ch.pieces || ch.discard < minReadLength {
		return ch.eof(ch.fill(), 1)
	}
	if ch.sink == nil {
		ch.sink = getBuffer(min(ch.discard, ch.maxRead+minReadLength))
	}
	n := min(ch.discard, cap(ch.sink.b))
	n, err := ch.read(ch.sink.b[:n:n])
	ch.discard -= n
	if n > 0 {
		return nil
	}
	return ch.eof(err, 1)
}

func (ch *channel) dropSink() {
	ch.sink.release()
	ch.sink = nil
}

// eof makes an EOF in mid-frame an unexpected one.
func (ch *channel) eof(err error, partial int) error {
	if err == io.EOF && partial > 0 {
		return io.ErrUnexpectedEOF
	}
	return err
}

// fill reads more into the chunk, of which at most a part of a header is left.
// While it waits on a kernel socket it holds no buffer, unless for that part:
// an idle connection costs none.
func (ch *channel) fill() error {
	rest := len(ch.unparsed())
	if rest == 0 {
		ch.off = 0
		if ch.sock != nil {
			ch.dropChunk()
			ch.flushReplies()
			chunk, err := ch.sock.readChunk()
			ch.chunk = chunk
			return err
		}
		if ch.chunk == nil {
			ch.chunk = getBuffer(minReadLength + headerLength)
		}
		ch.chunk.b = ch.chunk.b[:0]
	} else if ch.off > 0 || ch.sock != nil && cap(ch.chunk.b) >= readChunkLength {
		ch.keepRest()
	}
	n, err := ch.read(ch.chunk.b[rest:cap(ch.chunk.b)])
	ch.chunk.b = ch.chunk.b[:rest+n]
	if n > 0 {
		return nil
	}
	return err
}

// keepRest moves the beginning of a header to the front of a buffer with room
// for more: on a socket to a small one, which a peer may make us hold.
func (ch *channel) keepRest() {
	old := ch.chunk
	if ch.sock != nil {
		ch.chunk = getBuffer(headerLength)
	}
	n := copy(ch.chunk.b[:headerLength], old.b[ch.off:])
	ch.chunk.b, ch.off = ch.chunk.b[:n], 0
	if ch.chunk != old {
		old.release()
	}
}

// read is conn.Read, which may return neither bytes nor an error. The capacity of
// p is its length: NRI's multiplexer fills a buffer up to its capacity, and
// reports what the peer chose to send.
func (ch *channel) read(p []byte) (int, error) {
	ch.flushReplies()
	if ch.sock != nil {
		return ch.sock.read(p)
	}
	for i := 0; i < 100; i++ {
		n, err := ch.conn.Read(p)
		if n == 0 && errors.Is(err, os.ErrDeadlineExceeded) {
			ch.conn.SetReadDeadline(time.Time{}) // the deadline of somebody else
			continue
		}
		if n < 0 || n > len(p) {
			return 0, fmt.Errorf("read of %d bytes into a buffer of %d", n, len(p))
		}
		if n > 0 || err != nil {
			return n, err
		}
	}
	return 0, io.ErrNoProgress
}

// flushReplies writes what the one who reads has queued while there were frames
// to go on with.
func (ch *channel) flushReplies() {
	if ch.unflushed {
		ch.unflushed = false
		ch.w.flush()
	}
}

// interrupt ends a read of a socket that waits, or else the next one: whoever
// leads looks at its context and its stream again.
func (ch *channel) interrupt() {
	if ch.sock != nil {
		ch.conn.SetReadDeadline(time.Unix(1, 0))
	}
}

// interrupted says whether err comes from interrupt, and lets reading go on: who
// was meant looks at its context next, and who was not just reads.
func (ch *channel) interrupted(err error) bool {
	if ch.sock == nil || !errors.Is(err, os.ErrDeadlineExceeded) {
		return false
	}
	ch.conn.SetReadDeadline(time.Time{})
	return true
}

func (ch *channel) dropChunk() {
	if ch.chunk != nil {
		ch.chunk.release()
		ch.chunk, ch.off = nil, 0
	}
}

// close closes the connection and ends all writing. A second time it does
// nothing.
func (ch *channel) close() {
	ch.w.fail(ErrClosed) // first: conn.Close may wait for a write
	ch.closed.Do(func() { closeConn(ch.conn) })
}

// closeConn closes a connection. It waits for the Close of one that is no TCP socket for
// a limited time: that may be for the peer, as with TLS and with a unix socket where
// descriptors wait that it passed, or for anything.
func closeConn(nc net.Conn) {
	switch sock := nc.(type) {
	case *net.UnixConn:
		shutSocket(sock)
	case *net.TCPConn: // waits only if the owner of the socket wants it to (SetLinger)
		shutSocket(sock)
		sock.Close()
		return
	}
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		nc.Close()
	}()
	timer := time.NewTimer(lingerLimit)
	defer timer.Stop()
	select {
	case <-closed:
	case <-timer.C:
	}
}

// shutSocket ends the connection for everybody, before our descriptor of it is closed:
// another process may have a duplicate, and the peer has to hear of the end all the
// same, and a system call of ours that waits.
func shutSocket(sock interface {
	CloseRead() error
	CloseWrite() error
}) {
	sock.CloseRead() // first: a peer that has seen the end can write no more
	sock.CloseWrite()
}
