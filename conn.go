package ttrpc

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/codes"
)

const (
	// slowConsumerLimit is how long, in all, a connection stops reading for
	// a stream whose receiver takes nothing.
	slowConsumerLimit = time.Second

	// drainLimit is how long a connection that cannot write any more goes
	// on reading: responses that the peer sent before it closed may be
	// waiting there.
	drainLimit = time.Second

	// socketDrainLimit is the same on a kernel socket, where the peer's end
	// can be read after them and ends it: the limit is for a peer that
	// closed its reading side alone.
	socketDrainLimit = 5 * time.Second

	// lingerLimit is how long a connection that we close stays open for
	// what was queued before, while the peer takes nothing of it.
	lingerLimit = 100 * time.Millisecond

	// maxLinger is how long it stays open in all.
	maxLinger = time.Second
)

// role is what a conn leaves to the Client or the serverConn that owns it.
// Whoever reads calls these; none may block, and only a server's handleFrame runs
// handlers, as server_inline.go says.
type role interface {
	// handleFrame takes over buf.
	handleFrame(h header, buf *buffer) error

	// streamFailed ends the stream that err names, if there is one, and
	// tells the peer if that is this role's part.
	// An error ends the connection.
	streamFailed(err *streamError) error

	// ended is called once, when the connection is over and every stream
	// has ended.
	ended(err error)

	// mayLeaveReading says, with conn.mu held, whether reading can wait for
	// the receiver of st, which has just got something.
	mayLeaveReading(st *stream) bool

	// readingLeft is called with conn.mu held when nobody reads any more.
	// conn.readAgain must follow before long, unless readingTaken does.
	readingLeft()
	readingTaken()
}

// A conn is the shared state of a connection, for both roles: its streams and
// its end.
type conn struct {
	ch        *channel
	role      role
	codec     codec
	maxLength int // of a message that we send, in bytes
	maxInbox  int // of a stream's inbox, in bytes

	done chan struct{} // closed when the connection is over

	// pauses is how long the reading goroutine has waited for receivers.
	pauses pauseClock

	// gathers has writes held while frames are handed out: see hold.
	gathers bool

	reader connReader

	mu       sync.Mutex
	streams  map[streamID]*stream // nil until the first and after the end
	lastID   streamID             // the id opened (client) or seen (server) last
	draining bool                 // end when the last stream does
	err      error                // why the connection ended; nil while it has not
}

// connConfig are the limits of a connection.
type connConfig struct {
	maxLength int // of a message either way, in bytes
	maxQueued int // bytes that wait to be written
	maxInbox  int // bytes that wait in a stream
}

var defaultConnConfig = connConfig{
	maxLength: defaultMaxMessageLength,
	maxQueued: 1 << 20,
	maxInbox:  4 << 20,
}

func newConn(nc net.Conn, r role, cfg connConfig) *conn {
	c := &conn{role: r, maxLength: cfg.maxLength, maxInbox: cfg.maxInbox, done: make(chan struct{})}
	c.ch = newChannel(nc, cfg.maxLength, cfg.maxQueued, c.writeFailed)
	return c
}

// handleError is the one place that tells an error of a stream, after which
// reading goes on, from one that ends the connection.
func (c *conn) handleError(err error) (goOn bool) {
	var se *streamError
	if errors.As(err, &se) {
		err = c.role.streamFailed(se)
	}
	if err != nil {
		c.fail(err)
	}
	return err == nil
}

// fail ends the connection: it ends every stream, closes the socket or leaves that
// to linger, and closes done. Every terminal error comes here, from reading, from
// writing and from Close; the first one counts.
func (c *conn) fail(err error) {
	c.mu.Lock()
	if c.err != nil {
		c.mu.Unlock()
		return
	}
	c.err = closeError(err)
	streams := c.streams
	c.streams = nil
	c.mu.Unlock()

	c.ch.refuse()
	for _, st := range streams {
		st.end(c.err)
	}
	c.ch.interrupt() // a receiver that leads: the socket may stay open for a while
	c.closeChannel(err)
	close(c.done)
	c.role.ended(err)
}

// closeChannel closes the socket: at once, unless it is we who close and
// something is still being written.
func (c *conn) closeChannel(err error) {
	if err != ErrClosed && err != ErrServerClosed {
		c.ch.close()
		return
	}
	flushed := make(chan struct{})
	c.ch.whenFlushed(func() {
		c.ch.close()
		close(flushed)
	})
	select {
	case <-flushed:
	default:
		go c.linger(flushed)
	}
}

// linger is the goroutine that closes the socket when what was queued before is
// not written in time.
func (c *conn) linger(flushed <-chan struct{}) {
	tick := time.NewTicker(lingerLimit)
	defer tick.Stop()
	progress := c.ch.progress.Load()
	for waited := time.Duration(0); waited < maxLinger; waited += lingerLimit {
		select {
		case <-flushed:
			return
		case <-tick.C:
		}
		before := progress
		if progress = c.ch.progress.Load(); progress == before {
			break
		}
	}
	c.ch.close()
}

// writeFailed is called when nothing can be written any more. The peer may
// have answered before it went away, so reading goes on until it reports the
// end itself, within a limit.
func (c *conn) writeFailed(err error) {
	c.mu.Lock()
	over := c.err != nil
	c.mu.Unlock()
	if over {
		return
	}
	limit := drainLimit
	if c.ch.sock != nil {
		limit = socketDrainLimit
	}
	time.AfterFunc(limit, func() { c.fail(fmt.Errorf("write: %w", err)) })
}

// insertLocked adds a stream to the table.
func (c *conn) insertLocked(st *stream) {
	if c.streams == nil {
		c.streams = make(map[streamID]*stream)
	}
	c.streams[st.id] = st
}

// addNextLocked gives st, and the frame in buf, the next id.
func (c *conn) addNextLocked(st *stream, buf *buffer) {
	st.id = c.nextIDLocked()
	putStreamID(buf.b, st.id)
	c.insertLocked(st)
}

// nextIDLocked returns the next odd id. After 2^31 streams ids begin again,
// and those in use are left out.
func (c *conn) nextIDLocked() streamID {
	for {
		if c.lastID == 0 {
			c.lastID = 1
		} else {
			c.lastID += 2 // from the highest odd id to 1
		}
		if c.streams[c.lastID] == nil {
			return c.lastID
		}
	}
}

// lookup returns the stream with that id, or nil.
func (c *conn) lookup(id streamID) *stream {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.streams[id]
}

// remove takes st out of the table and says whether it was there. Whoever
// removes a stream also ends it.
func (c *conn) remove(st *stream) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.removeLocked(st)
}

func (c *conn) removeLocked(st *stream) bool {
	if c.streams[st.id] != st {
		return false
	}
	delete(c.streams, st.id)
	c.unparkLocked(st)
	if len(c.streams) == 0 && c.draining {
		go c.closeFlushed() // not under mu, which fail takes
	}
	return true
}

// drain ends the connection as soon as it is idle: no streams, and everything
// that was queued is written.
func (c *conn) drain() {
	c.mu.Lock()
	c.draining = true
	idle := len(c.streams) == 0
	c.mu.Unlock()
	if idle {
		c.closeFlushed()
	}
}

// closeFlushed ends the connection when everything that was queued is written. On
// TCP that is not all: to close with something unread, as a request that has come
// too late, resets the connection, and what the peer has not read yet is lost. So
// we say that we send no more, and the peer closes, or has had lingerLimit.
func (c *conn) closeFlushed() {
	c.ch.whenFlushed(func() {
		if tcp, ok := c.ch.conn.(*net.TCPConn); ok && tcp.CloseWrite() == nil {
			time.AfterFunc(lingerLimit, func() { c.fail(ErrServerClosed) })
			return
		}
		c.fail(ErrServerClosed)
	})
}

// waitDeliver gives st a message although its inbox was full. It waits for room,
// and so does everything else on the connection, for as long as stream.roomAfter
// allows; then it returns an error of that stream alone.
func (c *conn) waitDeliver(st *stream, m message) error {
	c.ch.flushReplies()
	c.pauses.begin()
	defer c.pauses.end()
	for !st.push(m) {
		room, wait := st.roomAfter()
		timer := time.NewTimer(wait)
		select {
		case <-room:
			timer.Stop()
			continue
		case <-timer.C:
		case <-c.done:
			timer.Stop()
		}
		m.buf.release()
		return &streamError{h: header{id: st.id, typ: m.typ}, code: codes.ResourceExhausted, err: ErrStreamFull}
	}
	return nil
}

// replyTimeout is how long reading waits for a peer that does not read the
// replies to what is refused, before it loses its connection.
const replyTimeout = 10 * time.Second

// waitReplies waits until the replies of whoever reads, who cannot wait for room
// when there is one to send, are written as far as it takes. Nothing is read in
// the meantime: only a peer that sends what is refused, and does not read what it
// gets, waits for itself.
func (c *conn) waitReplies() error {
	c.ch.flushReplies()
	timer := time.NewTimer(replyTimeout)
	defer timer.Stop()
	room, written := c.ch.replyRoom()
	for {
		select {
		case <-room:
			return nil
		case <-c.done:
			return ErrClosed
		case <-timer.C:
		}
		before := written
		if room, written = c.ch.replyRoom(); written == before {
			return fmt.Errorf("%w: the peer does not read the replies to what is refused", ErrProtocol)
		}
		timer.Reset(replyTimeout)
	}
}

// pauseClock measures how long reading was paused, in all. One goroutine
// begins and ends pauses; any may ask. In doubt it says too much, which lets a
// slow receiver have more time.
type pauseClock struct {
	sum   atomic.Int64
	since atomic.Int64 // start of the present pause; 0 for none
}

func (p *pauseClock) begin() { p.since.Store(clock()) }

func (p *pauseClock) end() {
	p.sum.Add(clock() - p.since.Load())
	p.since.Store(0)
}

func (p *pauseClock) total() time.Duration {
	since := p.since.Load()
	sum := p.sum.Load()
	if since != 0 {
		sum += clock() - since
	}
	return time.Duration(sum)
}

// clock is a monotonic time in nanoseconds, never 0.
func clock() int64 { return int64(time.Since(clockStart)) + 1 }

var clockStart = time.Now()
