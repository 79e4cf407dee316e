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
	// readChunkLength is the length of one read, except in the payload of a large frame.
	readChunkLength = 32 << 10

	// minReadLength is the least length of a read on a connection that is not a kernel
	// socket. A multiplexer may fail a read into a buffer that is shorter than the peer's
	// write; releases write up to 4096 bytes of a frame and then its rest.
	minReadLength = 4096
)

// A channel reads and writes frames on a net.Conn. Its reading half is in this file and
// belongs to the goroutine that reads: the read loop or a leader (conn_read.go). Any
// goroutine may use the writing half (channel_write.go).
type channel struct {
	conn net.Conn
	sock *socket // nil when conn is not a kernel socket

	// Read state, owned by the goroutine that reads.

	chunk     *buffer // chunk.b[off:] is read and not parsed yet
	off       int
	current   header  // of the frame that is being read
	inBody    bool    // the payload of current is being read
	body      *buffer // the payload's bytes so far; nil before the first
	discard   int     // bytes of an oversized frame still to be discarded
	sink      *buffer // receives discarded bytes where chunk does not; nil before the first
	maxRead   int     // longest payload that is accepted
	pieces    bool    // a read may have a buffer of any length: see readsPieces
	begun     bool    // the first header has arrived
	isClient  bool    // the peer is a server
	unflushed bool    // queued frames are to be flushed: see channel_replies.go
	partStart int     // off when the frames began that the next flush answers

	heard *readClock // nil without keepalive

	// quickClose is set when conn.Close does not wait: no descriptor of the peer's can be in
	// the socket, nor in a system call that reads it. It does not change.
	quickClose bool
	closed     sync.Once // closes conn

	w writer // the writing half
}

func newChannel(nc net.Conn, maxRead, maxQueued int, failed func(error)) *channel {
	ch := &channel{conn: nc, sock: newSocket(nc), maxRead: maxRead}
	ch.pieces = ch.sock != nil || readsPieces(nc)
	ch.w.init(nc, ch.sock, maxQueued, failed)
	return ch
}

// readFrame returns the next frame. The caller owns the buffer, which is nil if the frame
// has no payload. A *streamError concerns that frame alone. After the error of an
// interrupt, the next readFrame goes on with the same frame. Any other error is final.
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

// beginFrame reads the next header, and decides whether to read or discard the payload.
func (ch *channel) beginFrame() error {
	ch.current = header{}
	ch.flushPart()
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

// checkForeign returns an error if the peer's first bytes are of another protocol. The read
// loops of idle connections wait in calls below beginFrame, where more variables might cost
// each of them another 2 KiB of stack: checkForeign and errNoHeader are not inlined.
//
//go:noinline
func (ch *channel) checkForeign() error {
	if name := foreignProtocol(ch.unparsed(), ch.isClient); name != "" {
		return errForeign("the peer speaks %s, not ttrpc", name)
	}
	return nil
}

// errNoHeader returns the error for bytes b that are not a header. first is set if the peer
// has sent nothing before.
//
//go:noinline
func errNoHeader(h header, b []byte, first bool) error {
	if first {
		return errForeign("the peer does not speak ttrpc: it begins with %q", b)
	}
	return errProtocol("the first byte of a header is not zero: %v", h)
}

// discardFrame discards the payload of an oversized frame and returns a *streamError.
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

// buffered reports whether some bytes of the next frame have been read.
func (ch *channel) buffered() bool { return len(ch.unparsed()) > 0 }

// frameBuffered reports whether all bytes of the next frame have been read.
func (ch *channel) frameBuffered() bool {
	b := ch.unparsed()
	return !ch.inBody && ch.discard == 0 && len(b) >= headerLength &&
		len(b)-headerLength >= int(min(parseHeader(b).length, 1<<30)) // an int may have 32 bits
}

// unparsed returns the bytes that have been read and not consumed.
func (ch *channel) unparsed() []byte {
	if ch.chunk == nil {
		return nil
	}
	return ch.chunk.b[ch.off:]
}

// consume takes up to n unparsed bytes, which are valid until the next fill.
func (ch *channel) consume(n int) []byte {
	b := ch.unparsed()
	if n < len(b) {
		b = b[:n]
	}
	ch.off += len(b)
	return b
}

// discardSome discards bytes of an oversized frame. Its buffer is bounded for any claimed
// length: by the length of a chunk on sockets and TLS, and elsewhere by the message limit,
// since a multiplexer may require the rest of a frame to fit into one read. sink serves for
// the whole frame, even if it arrives in small pieces.
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

// eof turns io.EOF in the middle of a frame into io.ErrUnexpectedEOF.
func (ch *channel) eof(err error, partial int) error {
	if err == io.EOF && partial > 0 {
		return io.ErrUnexpectedEOF
	}
	return err
}

// fill reads more bytes into the chunk, which holds at most part of a header. A wait on a
// kernel socket holds no buffer, except for that part: an idle connection costs none.
func (ch *channel) fill() error {
	rest := len(ch.unparsed())
	if rest == 0 {
		ch.off = 0
		if ch.sock != nil {
			ch.dropChunk()
			ch.flushReplies()
			chunk, err := ch.sock.readChunk()
			ch.chunk = chunk
			if err == nil {
				ch.heard.note()
			}
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

// keepRest moves part of a header to the front of a buffer with room for more. On a kernel
// socket that buffer is small, since the peer may send the rest much later.
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

// read reads into p, after flushing replies. It repeats a Read that returns neither bytes
// nor an error, and checks the count: NRI's multiplexer reports the number of bytes that
// the peer chose to send. That multiplexer also fills a buffer up to its capacity, so the
// capacity of p must be its length.
func (ch *channel) read(p []byte) (int, error) {
	ch.flushReplies()
	if ch.sock != nil {
		n, err := ch.sock.read(p)
		if n > 0 {
			ch.heard.note()
		}
		return n, err
	}
	for i := 0; i < 100; i++ {
		n, err := ch.conn.Read(p)
		if n == 0 && errors.Is(err, os.ErrDeadlineExceeded) {
			ch.conn.SetReadDeadline(time.Time{}) // not our deadline: remove it
			continue
		}
		if n < 0 || n > len(p) {
			return 0, fmt.Errorf("read of %d bytes into a buffer of %d", n, len(p))
		}
		if n > 0 {
			ch.heard.note()
		}
		if n > 0 || err != nil {
			return n, err
		}
	}
	return 0, io.ErrNoProgress
}

// interrupt ends the waiting or next read of a kernel socket, so that a leader checks its
// context and its stream. Any goroutine may call it.
func (ch *channel) interrupt() {
	if ch.sock != nil {
		ch.conn.SetReadDeadline(time.Unix(1, 0))
	}
}

// interrupted reports whether err is the effect of interrupt, and lets reads wait again.
// The goroutine it was meant for then checks its context; any other reads again.
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

// close closes the net.Conn and ends all writing. A second call does nothing.
func (ch *channel) close() {
	ch.w.fail(ErrClosed) // first: conn.Close may wait for a write
	ch.closed.Do(func() { closeConn(ch.conn, ch.quickClose) })
}

// closeConn closes a connection. Unless Close is known not to wait, closeConn runs it on its
// own goroutine and waits for lingerLimit at most: Close may wait for the peer, as it does
// with TLS and with a Unix socket that holds passed descriptors, or for anything else.
func closeConn(nc net.Conn, quick bool) {
	switch sock := nc.(type) {
	case *net.UnixConn:
		shutSocket(sock)
		if quick {
			sock.Close()
			return
		}
	case *net.TCPConn: // its Close waits only if the user has called SetLinger
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

// shutSocket shuts the connection down before its descriptor is closed. Another process may
// hold a duplicate of the descriptor; the peer, and a waiting system call of this process,
// must notice the end all the same.
func shutSocket(sock interface {
	CloseRead() error
	CloseWrite() error
}) {
	sock.CloseRead() // first: a peer that has seen the end can write no more
	sock.CloseWrite()
}
