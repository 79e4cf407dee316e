package ttrpc

import (
	"context"
	"errors"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// slowConsumerLimit is how long, in all, a connection stops reading for a stream whose
// receiver takes nothing.
const slowConsumerLimit = time.Second

// An endpoint is the owner of a conn, a Client or a serverConn, and implements the
// differences between the two.
type endpoint interface {
	// handleFrame handles a frame and takes over buf. The goroutine that reads calls it.
	// It does not block, except that a server's read loop may run a handler in it: see
	// server_inline.go. A *streamError ends one stream, any other error the connection.
	handleFrame(h header, buf *buffer) error

	// streamFailed ends the stream that err names, if there is one, and tells the peer: a
	// server by a response, a client by a cancel frame if the server knows those. The
	// goroutine that reads calls it; it does not block. An error ends the connection.
	streamFailed(err *streamError) error

	// ended is called once, by the goroutine that ends the connection, after every
	// stream has ended. A server's runs the user's Logger, which may block.
	ended(err error)

	// receiverWaits is called by a receiver of e before it waits for a signal. On a
	// client the receiver may lead in it, until there is a signal or ctx ends.
	receiverWaits(ctx context.Context, e entry)

	// senderWaits is called by a sender before it waits for its window, and senderGoesOn
	// after that, with the same new slot. In between a client reads, though no receiver
	// may wait: the window frame must come.
	senderWaits(s *slot)
	senderGoesOn(s *slot)

	// writeFailed is called once, without locks, when nothing can be written any more
	// because of err, by the goroutine that found out. It must make the connection end
	// before long.
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

	// offers is set when the request carries the client's offer of extensions. It
	// does not change while the entry is in the table.
	offers bool

	// parked is set while a receiver waits that does not read. Guarded by
	// conn.mu. See turn.
	parked bool

	// requestEnd is where the request of a client ends in everything that the
	// connection sends: see writer.enqueueLocked. Guarded by conn.mu.
	requestEnd int64

	// received is the place of a client for the metadata of the response; nil when
	// the caller does not ask for it, until some comes. Guarded by conn.mu while the
	// entry is in the table.
	received *receivedMetadata
}

// A conn is the shared state of a connection, for both roles: its streams and
// its end.
type conn struct {
	ch       *channel
	endpoint endpoint
	codec    codec
	maxInbox int // of a stream's inbox, in bytes

	// maxLength is of a message that we send, in bytes. It is lowered when the settings
	// of the peer come: see peerAccepts.
	maxLength atomic.Uint32

	done chan struct{} // closed when the connection is over

	// pauses is how long the read loop has waited for receivers.
	pauses pauseClock

	reader connReader
	yields backoff // of flushers

	// lastReply is the clock of a server's last response; 0 before the first.
	lastReply atomic.Int64

	mu       sync.Mutex
	ext      negotiation
	streams  map[streamID]entry // nil until the first and after the end
	lastID   streamID           // the id opened (client) or seen (server) last
	draining bool               // end when the last stream does
	leaving  bool               // endTimer runs for no more than farewell
	unsent   error              // as draining, and then fail with this: no call can be sent any more, or Shutdown (client)
	err      error              // why the connection ended, as it came: see endReason; nil while it has not
	endTimer *time.Timer        // see failAfter; nil until the first time
	endTime  int64              // the clock when it fires
	pings    *pings             // nil until the first
	notice   drainNotice        // of the server (client)
}

// connConfig are the limits of a connection.
type connConfig struct {
	maxLength int // of a message either way, in bytes
	maxQueued int // bytes that wait to be written
	maxInbox  int // bytes that wait in a stream

	passing bool // take descriptors from the peer, as old kernels do; tests alone set it
}

var defaultConnConfig = connConfig{
	maxLength: defaultMaxMessageLength,
	maxQueued: 1 << 20,
	maxInbox:  4 << 20,
}

// settings are those of a side with these limits and with extensions.
func (cfg connConfig) settings() settings {
	return settings{
		version:    extensionVersion,
		features:   ownFeatures,
		maxMessage: uint32(cfg.maxLength),
		window:     windowOf(cfg.maxInbox),
	}
}

// newConn takes over nc, with its mode and its deadlines: those of dialling and of the
// handshake are over.
func newConn(nc net.Conn, e endpoint, cfg connConfig) *conn {
	unblock(nc)
	nc.SetDeadline(time.Time{}) // an error only says that nc has none
	cn := &conn{endpoint: e, maxInbox: cfg.maxInbox, done: make(chan struct{})}
	cn.maxLength.Store(uint32(cfg.maxLength))
	cn.ch = newChannel(nc, cfg.maxLength, cfg.maxQueued, cn.writeFailed)
	if !cfg.passing && refuseDescriptors(nc) && cn.ch.sock != nil {
		cn.ch.sock.refuses = true
	}
	_, cn.ch.isClient = e.(*Client)
	return cn
}

// maxSend returns the longest message that we send, in bytes.
func (cn *conn) maxSend() int { return int(cn.maxLength.Load()) }

// peerAccepts lowers maxSend to the longest message that the peer accepts, by its
// settings. It is called once, by the goroutine that reads.
func (cn *conn) peerAccepts(n int) { cn.maxLength.Store(uint32(min(cn.maxSend(), n))) }

// yieldLimit is how long a yield may take before it counts as a failure: longer than
// hundreds of callers need, and shorter than the time slice of a goroutine that
// computes.
const yieldLimit = 5 * time.Millisecond

// yield is for a flusher that is about to write. It lets others run that likely send
// something, too: one write does for all. Where goroutines compute, the flusher waits
// behind them instead, and yields no more for a while.
func (cn *conn) yield() {
	if !cn.yields.ready() {
		return
	}
	start := clock()
	runtime.Gosched()
	if clock()-start > int64(yieldLimit) {
		cn.yields.failed()
	}
}

// handleError is the one place that tells an error of a stream, after which
// reading goes on, from one that ends the connection.
func (cn *conn) handleError(err error) (goOn bool) {
	var se *streamError
	if errors.As(err, &se) {
		err = cn.endpoint.streamFailed(se)
	}
	if err != nil {
		cn.fail(err)
	}
	return err == nil
}

// insertLocked adds a stream or call to the table.
func (cn *conn) insertLocked(e entry) {
	if cn.streams == nil {
		cn.streams = make(map[streamID]entry)
	}
	cn.streams[e.place().id] = e
}

// nextIDLocked returns the next odd id. After 2^31 streams ids begin again,
// and those in use are left out.
func (cn *conn) nextIDLocked() streamID {
	for {
		if cn.lastID == 0 {
			cn.lastID = 1
		} else {
			cn.lastID += 2 // from the highest odd id to 1
		}
		if cn.streams[cn.lastID] == nil {
			return cn.lastID
		}
	}
}

// lookup returns the entry with that id, or nil.
func (cn *conn) lookup(id streamID) entry {
	cn.mu.Lock()
	defer cn.mu.Unlock()
	return cn.streams[id]
}

// removeLocked takes e out of the table and reports whether it was there. A function
// that removes an entry also ends it.
func (cn *conn) removeLocked(e entry) bool {
	id := e.place().id
	if cn.streams[id] != e {
		return false
	}
	delete(cn.streams, id)
	if len(cn.streams) > 0 {
		return true
	}
	switch {
	case cn.unsent != nil && cn.awaitsNoticeLocked(): // reading ends the connection: see writeFailed
	case cn.unsent != nil:
		go cn.fail(cn.unsent) // not under mu, which fail takes
	case cn.draining:
		go cn.closeFlushed()
	}
	return true
}
