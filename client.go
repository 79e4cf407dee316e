package ttrpc

import (
	"context"
	"net"
	"sync"
)

// A Client makes calls over one connection. Any number of goroutines may call its methods
// at once. A zero Client behaves like a closed one.
//
// The client owns the connection from NewClient on, including its deadlines and the mode of
// its socket. If the program puts a duplicate of the socket (File) into blocking mode, as
// os.File.Fd does, the client may notice the end of a context late. When the connection
// ends, by Close, by the peer or by an error, waiting and later calls and streams return
// ErrClosed. A client does not reconnect.
type Client struct {
	conn        *conn // nil in a zero Client
	cfg         clientConfig
	callChain   UnaryClientInterceptor  // nil for none
	streamChain StreamClientInterceptor // nil for none
	reader      clientReader
	calls       sync.Pool // of *call: see await

	// Guarded by conn.mu.

	unary    int // calls in the table
	answered int // calls that got a response since a flusher wrote last

	// userClosed is closed when the user's OnClose has returned.
	userClosed chan struct{}
}

// NewClient returns a client for a connection of any kind, and takes over the connection. It
// panics if conn is nil, as after a failed Dial.
func NewClient(conn net.Conn, opts ...ClientOpts) *Client {
	if isNil(conn) {
		panic("ttrpc: nil connection")
	}
	c := &Client{
		cfg:        clientConfig{conn: defaultConnConfig, extensions: true},
		userClosed: make(chan struct{}),
	}
	for _, opt := range opts {
		opt(c)
	}
	c.callChain = chainUnaryClient(c.cfg.unary)
	c.streamChain = chainStreamClient(c.cfg.stream)
	c.conn = newConn(conn, c, c.cfg.conn)
	c.conn.codec = c.cfg.codec
	c.conn.setWriteTimeout(c.cfg.writeTimeout)
	if c.cfg.extensions {
		c.conn.ext.set(offering)
	}
	c.startReading()
	return c
}

// Close ends the connection and returns nil. Waiting calls and streams return ErrClosed.
// Messages that streams have sent are still written, for at most a second, and until the
// server has read nothing for a tenth of a second. Close waits for these writes until the
// server has read nothing for 5 milliseconds; a program that exits after that loses the
// rest. Close does not wait for the OnClose callback: see UserOnCloseWait. A second Close
// does nothing.
//
// Over TCP, closing a connection that has unread bytes from the server resets it, and the
// server may lose the last messages.
func (c *Client) Close() error {
	if c.conn != nil {
		c.conn.fail(ErrClosed)
		c.conn.ch.w.awaitWritten()
	}
	return nil
}

// UserOnCloseWait waits until the connection has ended and the OnClose callback, if any,
// has returned. If ctx ends first, UserOnCloseWait returns the error of ctx. The callback
// must not call it. (Since v1.0.2.)
func (c *Client) UserOnCloseWait(ctx context.Context) error {
	if c.conn == nil {
		return nil
	}
	select {
	case <-c.userClosed:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// open gives e the next id, adds it to the table and queues buf, its request.
// All of that happens under one lock: ids rise on the wire. It takes over buf.
//
// The caller of a unary call also begins to wait: if lead is true it has the turn.
func (c *Client) open(ctx context.Context, e entry, buf *buffer) (lead bool, err error) {
	conn := c.conn
	if err := conn.ch.w.room.take(ctx, nil, len(buf.b)); err != nil {
		buf.release()
		if ctxErr := ctx.Err(); ctxErr != nil {
			return false, ctxErr
		}
		return false, writeError(err)
	}
	conn.mu.Lock()
	over := conn.err != nil || conn.unsent != nil
	if over || conn.notice.come {
		conn.mu.Unlock()
		conn.ch.w.room.give(len(buf.b))
		buf.release()
		if over {
			return false, ErrClosed
		}
		return false, c.refuseDraining(ctx)
	}
	s := e.place()
	s.id = conn.nextIDLocked()
	putStreamID(buf.b, s.id)
	if st, ok := e.(*stream); ok && st.flow != nil && !conn.startFlowLocked(st.flow) {
		st.flow = nil
	}
	conn.insertLocked(e)
	if s.offers {
		conn.ext.queued()
	}
	flusher := conn.ch.w.enqueueAndClaim(buf, &s.requestEnd)
	if _, unary := e.(*call); unary {
		c.unary++
		lead = c.reader.turn.takeOrPark(s)
	}
	gather := c.unary > 1 || c.answered > 1
	if flusher {
		c.answered = 0
	}
	conn.mu.Unlock()
	if flusher {
		if gather {
			conn.yield()
		}
		conn.ch.w.writeClaimed()
	}
	return lead, nil
}

// remove takes e out of the table and reports whether it was there.
func (c *Client) remove(e entry) bool {
	c.conn.mu.Lock()
	defer c.conn.mu.Unlock()
	return c.removeLocked(e)
}

func (c *Client) removeLocked(e entry) bool {
	if !c.conn.removeLocked(e) {
		return false
	}
	if _, unary := e.(*call); unary {
		c.unary--
	}
	c.reader.turn.unpark(e.place())
	return true
}

// abandon gives up on st because of err: later frames for it are dropped.
// A stream that has ended by itself keeps its messages.
func (c *Client) abandon(st *stream, err error) {
	if c.giveUp(st, err) {
		st.end(err)
		st.drop(err)
	}
}
