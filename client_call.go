package ttrpc

import (
	"context"
	"fmt"
	"time"
)

// This file is unary calls.

// Call makes a unary call: it sends req to method of service and waits for the
// response, which is decoded into resp. Both are protobuf messages of any
// generation: see the package documentation.
//
// The metadata (WithMetadata) and the deadline of ctx go with the call. When
// ctx ends before the response has come, Call returns ctx.Err() as it is.
// When the connection ends it returns ErrClosed; when req or the response is too
// long, an *OversizedMessageErr. An error from the server's side is a gRPC status, for
// google.golang.org/grpc/status to look into.
func (c *Client) Call(ctx context.Context, service, method string, req, resp any) error {
	if c.conn == nil {
		return ErrClosed
	}
	p, err := c.conn.codec.newPayload(req)
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
		return c.conn.codec.unmarshal(r.payload, resp)
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
	return c.conn.codec.unmarshal(response.Payload, resp)
}

// invoke is the innermost Invoker.
func (c *Client) invoke(ctx context.Context, req *Request, resp *Response) error {
	if _, err := timeoutOf(ctx); err != nil {
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
	st, ok := c.callStreams.Get().(*stream)
	if !ok {
		st = &stream{unary: true, conn: c.conn, result: make(chan unaryResult, 1)}
	}
	lead, err := c.open(ctx, st, buf)
	if err != nil {
		return err
	}
	if lead {
		c.conn.lead(ctx, st)
	}
	resp := c.await(ctx, st)
	if resp.err != nil {
		return resp.err
	}
	defer resp.buf.release()
	r, err := parseResponse(resp.buf.bytes())
	if err != nil {
		return err
	}
	return use(r)
}

// unaryResult is what ends a unary call: a frame, whose owner is who receives it, or an
// error of this side.
type unaryResult struct {
	buf *buffer
	err error
}

// await returns the response of a unary call, or the error of ctx when that ends
// before.
//
// A stream that got its response is used again: whoever took it out of the table
// has done nothing with it since but send that. Of one that is given up here whoever
// reads may just have got hold.
func (c *Client) await(ctx context.Context, st *stream) unaryResult {
	var r unaryResult
	select {
	case r = <-st.result:
	case <-ctx.Done():
		if c.conn.remove(st) {
			return unaryResult{err: ctx.Err()}
		}
		r = <-st.result // it has come as well, or is about to
	}
	c.callStreams.Put(st)
	return r
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
