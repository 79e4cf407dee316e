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

// slowConsumerLimit is the total time for which a connection stops reading for a stream
// whose receiver takes nothing.
const slowConsumerLimit = time.Second

// An endpoint owns a conn and implements the differences between the two roles: it is a
// Client or a serverConn.
type endpoint interface {
	// handleFrame handles a frame and takes over buf. The goroutine that reads calls it.
	// It does not block, except that a server's read loop may run a handler in it
	// (server_inline.go). A *streamError ends one stream, errReadLent and errHandedOver the
	// read loop, and any other error the connection.
	handleFrame(h header, buf *buffer) error

	// streamFailed ends the stream that err names, if there is one, and tells the peer: a
	// server sends a response, a client a cancel frame if the server knows those. The
	// goroutine that reads calls it. It does not block. An error ends the connection.
	streamFailed(err *streamError) error

	// ended is called once, by the goroutine that ends the connection, after every
	// stream has ended. On a server it runs the user's Logger, which may block.
	ended(err error)

	// receiverWaits is called by a receiver of e before the receiver waits for a signal.
	// On a client it may make the receiver the leader, and then returns when e has
	// something to receive, when ctx ends, or when the read loop must go on reading.
	receiverWaits(ctx context.Context, e entry)

	// senderWaits is called by a sender before the sender waits for its window, and
	// senderGoesOn after the wait. Both get the same slot, which the sender makes for
	// them. In between, a client must read even if no receiver waits: otherwise the
	// window frame would not arrive.
	senderWaits(s *slot)
	senderGoesOn(s *slot)

	// writeFailed is called without locks, at most once, when nothing can be written any
	// more because of err and the connection has not ended. The goroutine that got err
	// calls it. It must make the connection end, at the latest when reading comes to the
	// peer's end.
	writeFailed(err error)
}

// An entry of the table conn.streams is a *stream or a *call, which is a unary call of a
// client.
type entry interface {
	// end ends the entry because of err. The function that took the entry out of the
	// table calls end, once, without locks.
	end(err error)

	// receivable reports whether a receiver would return at once.
	receivable() bool

	// place returns the part of the entry that the table uses.
	place() *slot
}

// slot is the part of an entry that the table uses.
type slot struct {
	id streamID

	// offers is set if the request carries the client's offer of extensions. It does not
	// change while the entry is in the table.
	offers bool

	// parked is set while a receiver waits without reading: see turn. Guarded by conn.mu.
	parked bool

	// requestEnd is the offset at which the request ends among the bytes that the client
	// sends: see writer.enqueueLocked. Guarded by conn.mu.
	requestEnd int64

	// received holds the metadata of the response, on a client. If the caller does not
	// ask for metadata, it is nil until some arrives. Guarded by conn.mu while the entry
	// is in the table.
	received *receivedMetadata
}

// A conn is the state of a connection that both roles share: its streams and its end. Any
// goroutine may call its methods, except those of conn_read.go.
type conn struct {
	ch       *channel
	endpoint endpoint
	codec    codec
	maxInbox int // limit of a stream's inbox, in bytes

	// maxLength is the longest message that this side sends, in bytes. The peer's
	// settings may lower it: see peerAccepts.
	maxLength atomic.Uint32

	done chan struct{} // closed when the connection is over

	// pauses is the total time for which the read loop has waited for receivers.
	pauses pauseClock

	reader connReader
	yields backoff // decides whether a flusher yields

	// lastReply is the clock at a server's last response; 0 before the first.
	lastReply atomic.Int64

	mu       sync.Mutex
	ext      negotiation
	streams  map[streamID]entry // nil before the first stream and after the end
	lastID   streamID           // the last id opened (client), the highest seen (server)
	draining bool               // the connection ends with its last stream (server)
	leaving  bool               // the connection ends within lingerLimit
	unsent   error              // of writing, or ErrClosed by Shutdown: the connection ends so with its last stream (client)
	err      error              // that ended the connection, not wrapped: see endReason; nil before the end
	endTimer *time.Timer        // see endAfter; nil before the first time
	endTime  int64              // the clock when endTimer fires
	pings    *pings             // nil before the first ping
	notice   drainNotice        // the server's goaway (client)
}

// connConfig are the limits of a connection.
type connConfig struct {
	maxLength int // bytes of a message, in either direction
	maxQueued int // bytes that wait to be written
	maxInbox  int // bytes that wait in a stream

	passing bool // take descriptors from the peer, as old kernels do; only tests set it
}

var defaultConnConfig = connConfig{
	maxLength: defaultMaxMessageLength,
	maxQueued: 1 << 20,
	maxInbox:  4 << 20,
}

// settings returns the settings of a side with these limits and with extensions.
func (cfg connConfig) settings() settings {
	return settings{
		version:    extensionVersion,
		features:   ownFeatures,
		maxMessage: uint32(cfg.maxLength),
		window:     windowOf(cfg.maxInbox),
	}
}

// newConn takes over nc. It puts the socket into non-blocking mode and clears the deadlines
// that dialling and the handshake have left.
func newConn(nc net.Conn, e endpoint, cfg connConfig) *conn {
	unblock(nc)
	nc.SetDeadline(time.Time{}) // an error only means that nc has no deadlines
	cn := &conn{endpoint: e, maxInbox: cfg.maxInbox, done: make(chan struct{})}
	cn.maxLength.Store(uint32(cfg.maxLength))
	cn.ch = newChannel(nc, cfg.maxLength, cfg.maxQueued, cn.writeFailed)
	_, cn.ch.isClient = e.(*Client)
	if !cfg.passing {
		refused, none := refuseDescriptors(nc, cn.ch.isClient)
		if sk := cn.ch.sock; sk != nil {
			sk.refuses, sk.passing = refused, sk.passing && !none
			cn.ch.quickClose = none
		}
	}
	return cn
}

// maxSend returns the length of the longest message that this side sends, in bytes.
func (cn *conn) maxSend() int { return int(cn.maxLength.Load()) }

// peerAccepts lowers maxSend to n, the longest message that the peer accepts according to
// its settings. The goroutine that reads calls it once.
func (cn *conn) peerAccepts(n int) { cn.maxLength.Store(uint32(min(cn.maxSend(), n))) }

// yieldLimit is the time after which a yield counts as a failure. Hundreds of callers need
// less; a goroutine that computes has a longer time slice.
const yieldLimit = 5 * time.Millisecond

// yield is called by a flusher before it writes. It lets other goroutines run, which likely
// queue frames, too: one write then sends the frames of all. If goroutines that compute
// hold the flusher up instead, it does not yield again for a while.
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

// handleError ends the stream or the connection because of err, and reports whether reading
// goes on. No other function tells errors of streams from errors of connections.
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

// insertLocked adds e to the table.
func (cn *conn) insertLocked(e entry) {
	if cn.streams == nil {
		cn.streams = make(map[streamID]entry)
	}
	cn.streams[e.place().id] = e
}

// nextIDLocked returns the next odd id. After 2^31 streams, ids start again from 1. Ids in
// use are skipped.
func (cn *conn) nextIDLocked() streamID {
	for {
		if cn.lastID == 0 {
			cn.lastID = 1
		} else {
			cn.lastID += 2 // overflows from the highest odd id to 1
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

// removeLocked takes e out of the table and reports whether e was there. If e was the last
// entry of a connection that drains, the connection ends. The caller must end e if it was
// there.
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
		go cn.fail(cn.unsent) // on its own goroutine: fail takes mu
	case cn.draining:
		go cn.closeFlushed()
	}
	return true
}
