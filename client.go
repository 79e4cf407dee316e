package ttrpc

import (
	"context"
	"net"
	"runtime"
	"sync"
)

// A Client makes calls over one connection. Its methods may be called from
// any number of goroutines at once. A zero Client behaves like one that is
// closed.
//
// The connection is the client's from NewClient on, and so are its deadlines. When it
// ends, by Close, by the peer or by an error, calls and streams that are waiting
// return ErrClosed and so does every later one; a client does not reconnect.
type Client struct {
	conn        *conn // nil in a zero Client
	cfg         clientConfig
	callChain   UnaryClientInterceptor  // nil for none
	streamChain StreamClientInterceptor // nil for none
	idle        idleTimer
	callStreams sync.Pool // of *stream: see await

	// userClosed is closed when the user's OnClose has returned.
	userClosed chan struct{}
}

// NewClient returns a client for the connection, which may be of any kind.
// The client reads from it at once.
func NewClient(conn net.Conn, opts ...ClientOpts) *Client {
	c := &Client{
		cfg:        clientConfig{conn: defaultConnConfig},
		userClosed: make(chan struct{}),
	}
	for _, opt := range opts {
		opt(c)
	}
	c.callChain = chainUnaryClient(c.cfg.unary)
	c.streamChain = chainStreamClient(c.cfg.stream)
	c.conn = newConn(conn, c, c.cfg.conn)
	c.conn.gathers = true
	c.conn.codec = c.cfg.codec
	go c.conn.readLoop()
	return c
}

// Close ends the connection. Calls and streams that are waiting return
// ErrClosed. What streams have sent before is still written, as far as the server
// takes it without pause; Close waits for that, a second at most. It does not
// wait for the OnClose callback: see UserOnCloseWait. A second Close does nothing.
// It returns nil.
//
// Over TCP, a connection that is closed while something that the server has sent is
// unread is reset, and the server may lose what was sent last.
func (c *Client) Close() error {
	if c.conn != nil {
		c.conn.fail(ErrClosed)
		<-c.conn.ch.written()
	}
	return nil
}

// UserOnCloseWait waits until the connection has ended and the OnClose
// callback, if there is one, has returned; or until ctx ends, whose error it
// then returns. It must not be called from the callback. (Since v1.0.2.)
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

// open gives st the next id, adds it to the table and queues buf, its request.
// All of that happens under one lock: ids rise on the wire. It takes over buf.
//
// The stream of a unary call also begins to wait: if lead is true its caller has
// the role of the reader.
func (c *Client) open(ctx context.Context, st *stream, buf *buffer) (lead bool, err error) {
	conn := c.conn
	conn.mu.Lock()
	if conn.err != nil {
		conn.mu.Unlock()
		buf.release()
		return false, ErrClosed
	}
	before := conn.lastID
	conn.addNextLocked(st, buf)
	queued, flusher := conn.ch.tryEnqueue(buf)
	if !queued {
		delete(conn.streams, st.id)
		conn.lastID = before
		conn.mu.Unlock()
		if err := conn.ch.reserve(ctx, nil, len(buf.b)); err != nil {
			buf.release()
			if ctxErr := ctx.Err(); ctxErr != nil {
				return false, ctxErr
			}
			return false, ErrClosed
		}
		conn.mu.Lock()
		if conn.err != nil {
			conn.mu.Unlock()
			conn.ch.unreserve(len(buf.b))
			buf.release()
			return false, ErrClosed
		}
		conn.addNextLocked(st, buf)
		flusher = conn.ch.enqueueAndClaim(buf)
	}
	crowded := len(conn.streams) > 1
	if st.result != nil {
		lead = conn.leadOrParkLocked(st)
	}
	conn.mu.Unlock()
	if flusher && crowded {
		// The others are likely about to send, too: this writes for all.
		runtime.Gosched()
	}
	if flusher {
		conn.ch.writeClaimed()
	}
	return lead, nil
}

// abandon gives up on st because of err: what still comes for it is dropped.
// A stream that has ended by itself keeps what was received.
func (c *Client) abandon(st *stream, err error) {
	if c.conn.remove(st) {
		st.end(err)
		st.drop(err)
	}
}
