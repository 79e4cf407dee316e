package ttrpc

import (
	"context"
	"errors"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/codes"
)

const (
	// slowConsumerLimit is how long, in all, a connection stops reading for
	// a stream whose receiver takes nothing.
	slowConsumerLimit = time.Second

	// drainLimit is how long a client that cannot write any more goes on
	// reading for calls that it has sent: responses from before the server
	// closed may be waiting there.
	drainLimit = time.Second

	// socketDrainLimit is the same on a kernel socket, where the peer's end
	// can be read after them and ends it: the limit is for a peer that
	// closed its reading side alone.
	socketDrainLimit = 5 * time.Second

	// lingerLimit is how long a connection that we close stays open for
	// what was queued before, while the peer takes nothing of it.
	lingerLimit = 100 * time.Millisecond

	// farewell is the time between the last response and the close of a
	// connection that drains.
	farewell = 5 * time.Millisecond

	// maxLinger is how long it stays open in all.
	maxLinger = time.Second
)

// An endpoint is the owner of a conn, a Client or a serverConn, and does for it
// whatever differs between them. The goroutine that reads calls all methods but
// receiverWaits; none may block, and only a server's handleFrame runs handlers, as
// server_inline.go says.
type endpoint interface {
	// handleFrame takes over buf.
	handleFrame(h header, buf *buffer) error

	// streamFailed ends the stream that err names, if there is one, and
	// tells the peer if that is this endpoint's part.
	// An error ends the connection.
	streamFailed(err *streamError) error

	// ended is called once, when the connection is over and every stream
	// has ended.
	ended(err error)

	// receiverWaits is called by a receiver of e before it waits for a signal.
	// It may read in the receiver's place, until there is one or ctx ends.
	receiverWaits(ctx context.Context, e entry)

	// writeFailed is called once, without locks, when nothing can be written any
	// more, because of err. The connection must end before long.
	writeFailed(err error)
}

// An entry of the table conn.streams is a *stream, or a *call: a unary call of a
// client.
type entry interface {
	// end ends the entry for the reason err. The function that took it out of
	// the table calls it, once, without locks.
	end(err error)

	// receivable reports whether a receiver would return at once.
	receivable() bool

	// place returns the part of the entry that the table uses.
	place() *slot
}

// slot is the part of an entry that the table uses.
type slot struct {
	id streamID

	// requestEnd is where the request of a client ends in everything that the
	// connection sends: see writer.enqueueLocked. Guarded by conn.mu.
	requestEnd int64

	// parked is set while a receiver waits that does not read. Guarded by
	// conn.mu. See turn.
	parked bool
}

// A conn is the shared state of a connection, for both roles: its streams and
// its end.
type conn struct {
	ch        *channel
	endpoint  endpoint
	codec     codec
	maxLength int // of a message that we send, in bytes
	maxInbox  int // of a stream's inbox, in bytes

	done chan struct{} // closed when the connection is over

	// pauses is how long the read loop has waited for receivers.
	pauses pauseClock

	reader connReader
	yields backoff // of flushers

	// lastReply is the clock of a server's last response; 0 before the first.
	lastReply atomic.Int64

	mu       sync.Mutex
	streams  map[streamID]entry // nil until the first and after the end
	lastID   streamID           // the id opened (client) or seen (server) last
	draining bool               // end when the last stream does
	unsent   error              // as draining, because of this: nothing can be sent any more (client)
	err      error              // why the connection ended; nil while it has not
	endTimer *time.Timer        // see failAfter; nil until the first time
	leaving  bool               // endTimer runs for no more than farewell
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

// newConn takes over nc, with its mode and its deadlines: those of dialling and of the
// handshake are over.
func newConn(nc net.Conn, e endpoint, cfg connConfig) *conn {
	unblock(nc)
	nc.SetDeadline(time.Time{}) // an error only says that nc has none
	c := &conn{endpoint: e, maxLength: cfg.maxLength, maxInbox: cfg.maxInbox, done: make(chan struct{})}
	c.ch = newChannel(nc, cfg.maxLength, cfg.maxQueued, c.writeFailed)
	_, c.ch.isClient = e.(*Client)
	return c
}

// yieldLimit is how long a yield may take before it counts as a failure: longer than
// hundreds of callers need, and shorter than the time slice of a goroutine that
// computes.
const yieldLimit = 5 * time.Millisecond

// yield is for a flusher that is about to write. It lets others run that likely send
// something, too: one write does for all. Where goroutines compute, the flusher waits
// behind them instead, and yields no more for a while.
func (c *conn) yield() {
	if !c.yields.ready() {
		return
	}
	start := clock()
	runtime.Gosched()
	if clock()-start > int64(yieldLimit) {
		c.yields.failed()
	}
}

// handleError is the one place that tells an error of a stream, after which
// reading goes on, from one that ends the connection.
func (c *conn) handleError(err error) (goOn bool) {
	var se *streamError
	if errors.As(err, &se) {
		err = c.endpoint.streamFailed(se)
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
	if c.endTimer != nil {
		c.endTimer.Stop()
	}
	c.mu.Unlock()

	c.ch.refuse()
	for _, e := range streams {
		e.end(c.err)
	}
	c.ch.interrupt() // a receiver that leads: the socket may stay open for a while
	c.closeChannel(err)
	close(c.done)
	c.endpoint.ended(err)
}

// closeChannel closes the socket: at once, unless it is we who close and
// something is still being written.
func (c *conn) closeChannel(err error) {
	c.ch.flush() // what a read loop has gathered, which may be in a handler for long
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
	timer := time.NewTimer(lingerLimit) // no ticker: after a late tick comes one too early
	defer timer.Stop()
	progress := c.ch.progress.Load()
	for waited := time.Duration(0); waited < maxLinger; waited += lingerLimit {
		select {
		case <-flushed:
			return
		case <-timer.C:
			timer.Reset(lingerLimit)
		}
		before := progress
		if progress = c.ch.progress.Load(); progress == before {
			break
		}
	}
	c.ch.close()
}

// writeFailed is called when nothing can be written any more. The peer may have sent
// something before it went away, so reading goes on for a while, until it reports the
// end itself.
func (c *conn) writeFailed(err error) {
	c.mu.Lock()
	over := c.err != nil
	c.mu.Unlock()
	if !over {
		c.endpoint.writeFailed(err)
	}
}

// insertLocked adds a stream or call to the table.
func (c *conn) insertLocked(e entry) {
	if c.streams == nil {
		c.streams = make(map[streamID]entry)
	}
	c.streams[e.place().id] = e
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

// lookup returns the entry with that id, or nil.
func (c *conn) lookup(id streamID) entry {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.streams[id]
}

// removeLocked takes e out of the table and reports whether it was there. A function
// that removes an entry also ends it.
func (c *conn) removeLocked(e entry) bool {
	id := e.place().id
	if c.streams[id] != e {
		return false
	}
	delete(c.streams, id)
	if len(c.streams) > 0 {
		return true
	}
	if c.unsent != nil {
		go c.fail(c.unsent) // not under mu, which fail takes
	} else if c.draining {
		go c.closeFlushed()
	}
	return true
}

// waitDeliver gives st a message although its inbox was full. It waits for room,
// and so does everything else on the connection, for as long as inbox.awaitRoom
// allows; then it returns an error of that stream alone.
func (c *conn) waitDeliver(st *stream, m message) error {
	c.ch.flushReplies()
	c.pauses.begin()
	defer c.pauses.end()
	for !st.push(m) {
		room, wait := st.awaitRoom()
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
		return &streamError{h: header{id: st.id, typ: m.typ}, code: codes.ResourceExhausted, err: errNotReceived}
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
			return errProtocol("the peer does not read the replies to what is refused")
		}
		timer.Reset(replyTimeout)
	}
}
