package ttrpc

import (
	"context"
	"fmt"
	"time"
)

// This file makes unary calls.

// Call makes a unary call: it sends req to a method of a service, waits for the response
// and decodes it into resp. Both are protobuf messages of any generation: see the package
// documentation. The metadata (WithMetadata) and the deadline of ctx are sent with the
// call.
//
// If ctx ends before the response has arrived, Call returns ctx.Err(), unwrapped. If the
// connection ends, Call returns ErrClosed, and if req or the response is too long, an
// *OversizedMessageErr. An error from the server is a gRPC status: package
// google.golang.org/grpc/status reads it.
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

// callIntercepted is Call through interceptors, which take a Request and a Response.
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

// roundTrip sends a unary request and waits for its response. It calls use with the
// response, which is valid until use returns.
func (c *Client) roundTrip(ctx context.Context, req *requestEnvelope, use func(responseView) error) error {
	received := beginMetadata(ctx)
	call, ok := c.calls.Get().(*call)
	if !ok {
		call = newCall()
	}
	call.received = received
	buf, err := c.encodeRequest(req, 0, &call.slot)
	if err != nil {
		call.received = nil
		c.calls.Put(call)
		return err
	}
	lead, err := c.open(ctx, call, buf)
	if err != nil {
		return c.conn.refusal(err)
	}
	resp := c.await(ctx, call, lead)
	if resp.err != nil {
		return resp.err
	}
	defer resp.buf.release()
	r, err := parseResponse(resp.buf.bytes(), maxDetails(c.cfg.conn.maxLength))
	if err != nil {
		return err
	}
	return use(r)
}

// A call is a unary call of a client, from before its request is queued until its caller
// has the result. The function that takes the call out of the table sends one result, and
// never blocks.
type call struct {
	slot
	result chan callResult
}

// callResult is the frame of a response, whose buffer the caller then owns, or an error of
// this side.
type callResult struct {
	buf *buffer
	err error
}

func newCall() *call { return &call{result: make(chan callResult, 1)} }

// place is part of entry.
func (cl *call) place() *slot { return &cl.slot }

// end is part of entry.
func (cl *call) end(err error) { cl.result <- callResult{err: err} }

// receivable is part of entry.
func (cl *call) receivable() bool { return len(cl.result) > 0 }

// await returns the response of a unary call. If ctx ends first, it returns the error of
// ctx. If lead is true, the caller has the turn.
//
// A call that has its result is reused: the function that took the call out of the table
// does nothing with the call after sending the result. A call that is given up is not
// reused: the goroutine that reads may just have looked it up.
func (c *Client) await(ctx context.Context, call *call, lead bool) callResult {
	var r callResult
	returns := false
	defer func() {
		if !returns { // a method of ctx panicked
			c.giveUp(call, context.Canceled)
		}
	}()
	if lead {
		c.lead(ctx, call)
	}
	select {
	case r = <-call.result:
	case <-ctx.Done():
		err := ctx.Err()
		if c.giveUp(call, err) {
			returns = true
			return callResult{err: err}
		}
		r = <-call.result // it has come as well, or is about to
	}
	returns = true
	call.received = nil
	c.calls.Put(call)
	return r
}

// encodeRequest returns the frame of a request, with stream id 0. It records in s, the slot
// of the call, whether the request carries the offer of extensions.
func (c *Client) encodeRequest(req *requestEnvelope, fl flags, s *slot) (*buffer, error) {
	size := req.size()
	if err := checkMessageLength(size, c.conn.maxSend(), requestNotSent); err != nil {
		return nil, err
	}
	if s.offers = c.mayOffer(size); s.offers {
		size += c.cfg.conn.settings().sizeOffer()
	}
	buf := getBuffer(headerLength + size)
	b, err := req.append(buf.b[:headerLength])
	if s.offers {
		b = c.cfg.conn.settings().appendOffer(b)
	}
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

// newRequest returns the Request that interceptors take.
func newRequest(ctx context.Context, service, method string, p payload) (*Request, error) {
	req := &Request{
		Service:  service,
		Method:   method,
		Metadata: contextMetadata(ctx).pairs(),
	}
	// invoke returns the error of a context that has ended: interceptors see such calls,
	// too.
	req.TimeoutNano, _ = timeoutOf(ctx)
	var err error
	if p.kind != payloadAbsent {
		req.Payload, err = p.bytes()
	}
	return req, err
}

// requestOf is the inverse of newRequest.
func requestOf(req *Request) *requestEnvelope {
	return &requestEnvelope{
		service: req.GetService(),
		method:  req.GetMethod(),
		payload: rawPayload(req.GetPayload()),
		timeout: req.GetTimeoutNano(),
		pairs:   req.GetMetadata(),
	}
}

// timeoutOf returns the time that ctx leaves for a call, 0 if ctx has no deadline, or the
// error of ctx if it has ended.
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
