package ttrpc

import (
	"context"
	"io"
)

// ClientStream is the caller's end of a stream. Several goroutines may call its methods at
// once. When the context given to NewStream ends, the methods return the error of the
// context; when the connection ends, they return ErrClosed.
//
// A stream stays in the table of its connection until the server's last message or error
// has arrived, or its context ends. A server with extensions learns of the end of the
// context: see WithServerCancellation. When nothing refers to the ClientStream any more, the
// garbage collector ends the stream as its context would, unless the client has sent its
// last message and the server answers with one.
type ClientStream interface {
	// CloseSend closes the sending side. It waits for room, as SendMsg does, and until
	// all messages are written to the connection. It also returns nil if the connection
	// or the server ends the stream in the meantime: RecvMsg returns the reason. A second
	// CloseSend returns ErrStreamClosed. On a stream whose client does not send,
	// CloseSend and SendMsg return an error that matches ErrProtocol.
	CloseSend() error

	// SendMsg sends a message; nil stands for an empty message. It returns once the
	// message is queued. If the server does not keep up, SendMsg waits for as long as
	// the context allows. Queued messages may be lost if the process exits without
	// Client.Close, or right after it while the server is not reading.
	//
	// After the server has ended the stream, SendMsg returns io.EOF, and RecvMsg
	// returns the reason; after CloseSend, SendMsg returns ErrStreamClosed. A message
	// over the limit is refused with *OversizedMessageErr; the stream goes on.
	SendMsg(m any) error

	// RecvMsg waits for the next message and decodes it into m. It returns
	//
	//   - io.EOF after the last message;
	//   - a gRPC status if the server ended the stream with an error;
	//   - ErrStreamFull, wrapped, if RecvMsg was not called for too long;
	//   - *OversizedMessageErr if a message was over the limit.
	//
	// Every later call returns the same error. Only the error of a message that cannot be
	// decoded into m does not end the stream.
	RecvMsg(m any) error
}

// clientEnd is the state of a client's stream. The table refers to it until the stream
// ends, and the program by its clientStream.
type clientEnd struct {
	stream
	ctx      context.Context
	desc     StreamDesc
	bursts   burst
	windows  flow  // stream.flow points to it
	messages inbox // stream.inbox points to it
}

// abandon gives the stream up because of err: see Client.abandon.
func (ce *clientEnd) abandon(err error) { ce.conn.endpoint.(*Client).abandon(&ce.stream, err) }

// NewStream opens a stream to a method of a service. If only the server streams, req is the
// request; if the client streams, req is the first message, or nil for none. The metadata
// and the deadline of ctx are sent with the request. The stream ends with ctx. (Since
// v1.2.0.)
//
// If NewStream returns an error, there is no stream: the error is ctx.Err(), ErrClosed or an
// *OversizedMessageErr, as for Call. RecvMsg returns errors of the server.
func (c *Client) NewStream(ctx context.Context, desc *StreamDesc, service, method string, req any) (ClientStream, error) {
	if c.conn == nil {
		return nil, ErrClosed
	}
	var p payload
	if req != nil {
		var err error
		if p, err = c.conn.codec.newPayload(req); err != nil {
			return nil, err
		}
		// The server can then tell an empty first message from none.
		p.explicit = desc.StreamingClient
	}
	if c.streamChain != nil {
		return c.newStreamIntercepted(ctx, desc, service, method, p)
	}
	timeout, err := timeoutOf(ctx)
	if err != nil {
		return nil, err
	}
	return c.openStream(ctx, desc, &requestEnvelope{
		service:  service,
		method:   method,
		payload:  p,
		timeout:  timeout,
		metadata: contextMetadata(ctx),
	})
}

func (c *Client) newStreamIntercepted(ctx context.Context, desc *StreamDesc, service, method string, p payload) (ClientStream, error) {
	req, err := newRequest(ctx, service, method, p)
	if err != nil {
		return nil, err
	}
	info := &StreamClientInfo{
		FullMethod:      fullMethod(service, method),
		StreamingClient: desc.StreamingClient,
		StreamingServer: desc.StreamingServer,
	}
	return c.streamChain(ctx, req, info, func(ctx context.Context, req *Request) (ClientStream, error) {
		if _, err := timeoutOf(ctx); err != nil {
			return nil, err
		}
		envelope := requestOf(req)
		envelope.payload.explicit = desc.StreamingClient
		return c.openStream(ctx, desc, envelope)
	})
}

func (c *Client) openStream(ctx context.Context, desc *StreamDesc, req *requestEnvelope) (ClientStream, error) {
	fl := flagRemoteClosed
	if desc.StreamingClient {
		fl = flagRemoteOpen
		if req.payload.kind == payloadAbsent {
			// Without the flag the Rust server delivers an empty message.
			fl |= flagNoData
		}
	}
	ce := &clientEnd{ctx: ctx, desc: *desc}
	ce.received = beginMetadata(ctx)
	buf, err := c.encodeRequest(req, fl, &ce.slot)
	if err != nil {
		return nil, err
	}
	ce.stream.init(c.conn, &ce.messages)
	ce.stream.flow = &ce.windows
	if !desc.StreamingClient {
		ce.sendErr = ErrStreamClosed
	}
	if ctx.Done() != nil {
		ce.stop = context.AfterFunc(ctx, func() { c.abandon(&ce.stream, contextError(ctx)) })
	}
	if _, err := c.open(ctx, &ce.stream, buf); err != nil {
		if ce.stop != nil {
			ce.stop()
		}
		return nil, c.conn.refusal(err)
	}
	if err := ctx.Err(); err != nil {
		// The watch may have run before the stream was in the table.
		c.abandon(&ce.stream, err)
	}
	return newClientStream(ce), nil
}

func (ce *clientEnd) sendMsg(m any) error {
	if !ce.desc.StreamingClient {
		return errProtocol("the client of this stream does not send")
	}
	if err := ce.ctx.Err(); err != nil {
		return err // the watch on ctx may not have run yet
	}
	buf, err := ce.encodeData(m, 0)
	if err != nil {
		return err
	}
	if err := ce.send(ce.ctx, buf, moreFrames); err != nil {
		return err
	}
	ce.bursts.flush(ce.conn.ch)
	return nil
}

func (ce *clientEnd) closeSend() error {
	if !ce.desc.StreamingClient {
		return errProtocol("the client of this stream does not send")
	}
	buf, err := ce.encodeData(nil, flagRemoteClosed|flagNoData)
	if err != nil {
		return err
	}
	if err := ce.send(ce.ctx, buf, lastFrame); err != nil {
		if err == io.EOF {
			return nil // the server has ended the stream
		}
		return err
	}
	ce.conn.ch.w.flush()
	written := ce.conn.ch.w.written()
	select {
	case <-written:
		return nil
	default:
	}
	select {
	case <-written:
		return nil
	case <-ce.stream.done(): // perhaps because ctx has ended
	case <-ce.ctx.Done():
	}
	return ce.ctx.Err()
}

func (ce *clientEnd) recvMsg(m any) error {
	ce.bursts.received()
	msg, err := ce.recv(ce.ctx)
	if err != nil {
		return localDeadline(ce.ctx, err)
	}
	defer msg.buf.release()
	if msg.typ == messageTypeData && !ce.desc.StreamingServer {
		err := errProtocol("data from a server that does not stream")
		ce.abandon(err)
		ce.drop(err) // if the stream has just ended by itself
		ce.setRecvErr(err)
		ce.conn.ch.interrupt() // another receiver of the stream may be the leader
		return err
	}
	return ce.conn.codec.unmarshal(msg.buf.bytes(), m)
}
