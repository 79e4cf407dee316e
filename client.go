package ttrpc

import (
	"context"
	"fmt"
	"net"
	"sync"
	"time"
)

// A Client makes calls over one connection. Its methods may be called from
// any number of goroutines at once. A zero Client behaves like one that is
// closed.
//
// The connection is the client's from NewClient on. When it ends, by Close, by
// the peer or by an error, calls and streams that are waiting return ErrClosed
// and so does every later one; a client does not reconnect.
type Client struct {
	conn        *conn // nil in a zero Client
	cfg         clientConfig
	callChain   UnaryClientInterceptor  // nil for none
	streamChain StreamClientInterceptor // nil for none
	idle        idleTimer
	callStreams sync.Pool // of *stream: see putCallStream

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
	go c.conn.readLoop()
	return c
}

// Close ends the connection. Calls and streams that are waiting return
// ErrClosed. What streams have sent before is still written, as far as the server
// takes it without pause; Close waits for that, a second at most. It does not
// wait for the OnClose callback: see UserOnCloseWait. A second Close does nothing.
// It returns nil.
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

// Call makes a unary call: it sends req to method of service and waits for the
// response, which is decoded into resp. Both are protobuf messages of any
// generation: see the package documentation.
//
// The metadata (WithMetadata) and the deadline of ctx go with the call. When
// ctx ends before the response has come, Call returns ctx.Err() as it is.
// When the connection ends it returns ErrClosed; when req is too long, an
// *OversizedMessageErr. An error from the server's side is a gRPC status, for
// google.golang.org/grpc/status to look into.
func (c *Client) Call(ctx context.Context, service, method string, req, resp any) error {
	if c.conn == nil {
		return ErrClosed
	}
	p, err := newPayload(req)
	if err != nil {
		return err
	}
	if c.callChain != nil {
		return c.callIntercepted(ctx, service, method, p, resp)
	}
	timeout, err := timeoutOf(ctx)
	if err != nil {
		return err
	}
	return c.roundTrip(ctx, &requestEnvelope{
		service:  service,
		method:   method,
		payload:  p,
		timeout:  timeout,
		metadata: contextMetadata(ctx),
	}, func(r responseView) error {
		if err := localDeadline(ctx, clientError(r.status)); err != nil {
			return err
		}
		return unmarshal(r.payload, resp)
	})
}

// callIntercepted is Call through interceptors, which want to see a Request
// and a Response.
func (c *Client) callIntercepted(ctx context.Context, service, method string, p payload, resp any) error {
	req, err := newRequest(ctx, service, method, p)
	if err != nil {
		return err
	}
	response := &Response{}
	info := &UnaryClientInfo{FullMethod: fullMethod(service, method)}
	if err := c.callChain(ctx, req, response, info, c.invoke); err != nil {
		return err
	}
	if err := localDeadline(ctx, clientError(response.Status)); err != nil {
		return err
	}
	return unmarshal(response.Payload, resp)
}

// invoke is the innermost Invoker.
func (c *Client) invoke(ctx context.Context, req *Request, resp *Response) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return c.roundTrip(ctx, requestOf(req), func(r responseView) error {
		resp.Status = r.status
		resp.Payload = append([]byte(nil), r.payload...)
		return nil
	})
}

// roundTrip sends a unary request, waits for its response, and has it read by
// use before it is gone.
func (c *Client) roundTrip(ctx context.Context, req *requestEnvelope, use func(responseView) error) error {
	buf, err := c.encodeRequest(req, 0)
	if err != nil {
		return err
	}
	st := c.getCallStream()
	if err := c.open(ctx, st, buf); err != nil {
		return err
	}
	m, err := st.recvResponse(ctx)
	if err != nil {
		c.abandon(st, err)
		return err
	}
	r, err := parseResponse(m.buf.bytes())
	if err == nil {
		err = use(r)
	}
	m.buf.release()
	c.putCallStream(st)
	return err
}

// encodeRequest makes a frame of a request, with 0 for its stream id.
func (c *Client) encodeRequest(req *requestEnvelope, fl flags) (*buffer, error) {
	size := req.size()
	if err := checkMessageLength(size, c.conn.maxLength); err != nil {
		return nil, err
	}
	buf := getBuffer(headerLength + size)
	b, err := req.append(buf.b[:headerLength])
	if err == nil && len(b) != headerLength+size {
		err = fmt.Errorf("ttrpc: the request changed while it was encoded")
	}
	if err != nil {
		buf.release()
		return nil, err
	}
	buf.b = b
	putHeader(b, header{length: uint32(size), typ: messageTypeRequest, flags: fl})
	return buf, nil
}

// open gives st the next id, adds it to the table and queues buf, its request.
// Both happen under one lock: ids rise on the wire. It takes over buf.
func (c *Client) open(ctx context.Context, st *stream, buf *buffer) error {
	conn := c.conn
	if err := conn.ch.reserve(ctx, len(buf.b)); err != nil {
		buf.release()
		if ctxErr := ctx.Err(); ctxErr != nil {
			return ctxErr
		}
		return ErrClosed
	}
	conn.mu.Lock()
	if conn.err != nil {
		conn.mu.Unlock()
		conn.ch.unreserve(len(buf.b))
		buf.release()
		return ErrClosed
	}
	st.id = conn.nextIDLocked()
	putStreamID(buf.b, st.id)
	conn.insertLocked(st)
	conn.ch.enqueue(buf)
	crowded := len(conn.streams) > 1
	conn.mu.Unlock()
	if crowded {
		conn.ch.flushGathered()
	} else {
		conn.ch.flush()
	}
	return nil
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

// abandon gives up on st because of err: what still comes for it is dropped.
// A stream that has ended by itself keeps what was received.
func (c *Client) abandon(st *stream, err error) {
	removed := c.conn.remove(st)
	if removed {
		st.end(err)
	}
	if removed || st.unary {
		st.drop(err)
	}
}

// newRequest builds the Request that interceptors see.
func newRequest(ctx context.Context, service, method string, p payload) (*Request, error) {
	req := &Request{
		Service:  service,
		Method:   method,
		Metadata: contextMetadata(ctx).pairs(),
	}
	// A context that has ended is found out behind the interceptors, which
	// count such calls, too.
	req.TimeoutNano, _ = timeoutOf(ctx)
	var err error
	if p.kind != payloadAbsent {
		req.Payload, err = p.bytes()
	}
	return req, err
}

// requestOf is the opposite of newRequest.
func requestOf(req *Request) *requestEnvelope {
	return &requestEnvelope{
		service: req.GetService(),
		method:  req.GetMethod(),
		payload: rawPayload(req.GetPayload()),
		timeout: req.GetTimeoutNano(),
		pairs:   req.GetMetadata(),
	}
}

// timeoutOf returns how long ctx leaves for a call, 0 when it has no deadline,
// or the context's error.
func timeoutOf(ctx context.Context) (int64, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	deadline, ok := ctx.Deadline()
	if !ok {
		return 0, nil
	}
	timeout := time.Until(deadline)
	if timeout <= 0 {
		return 0, context.DeadlineExceeded
	}
	return int64(timeout), nil
}

// getCallStream returns a stream for a unary call, one that is used again if
// there is one.
func (c *Client) getCallStream() *stream {
	st, ok := c.callStreams.Get().(*stream)
	if !ok {
		st = &stream{unary: true}
	}
	st.init(c.conn)
	return st
}

// putCallStream keeps the stream of a unary call that ended with a response:
// nobody else refers to it, see stream.recvResponse.
func (c *Client) putCallStream(st *stream) {
	st.recvErr = nil
	c.callStreams.Put(st)
}
