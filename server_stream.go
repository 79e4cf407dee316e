package ttrpc

import (
	"errors"

	"google.golang.org/grpc/codes"
)

// This file is the server's streams: how their handlers run, and send and receive.

// runStream runs the handler and returns the stream's final frame.
func (call *serverCall) runStream() *buffer {
	var resp any
	var err error
	server := &streamServer{call: call}
	if chain := call.sc.server.streamChain; chain != nil {
		info := &StreamServerInfo{
			FullMethod:      call.method.fullName,
			StreamingClient: call.method.stream.StreamingClient,
			StreamingServer: call.method.stream.StreamingServer,
		}
		resp, err = chain(&call.ctx, server, info, call.method.stream.Handler)
	} else {
		resp, err = call.method.stream.Handler(&call.ctx, server)
	}
	if err == nil {
		var frame *buffer
		if call.method.stream.StreamingServer {
			frame, err = call.encodeLastData(resp)
		} else {
			frame, err = call.encodeResponse(resp)
		}
		if err == nil {
			return frame
		}
	}
	return call.errorFrame(err)
}

// streamServer implements StreamServer.
type streamServer struct{ call *serverCall }

func (ss *streamServer) SendMsg(m any) error {
	call := ss.call
	frame, err := call.encodeData(m, 0)
	if err != nil {
		return err
	}
	if err := call.headerFirst(); err != nil {
		frame.release()
		return err
	}
	if err := call.stream.send(&call.ctx, frame, moreFrames); err != nil {
		if err == errCallerGone && call.sc.server.cfg.cancellation == CancelNone {
			return nil // the handler goes on as with a client that cannot tell
		}
		return err
	}
	call.bursts.flush(call.sc.conn.ch)
	return nil
}

func (ss *streamServer) RecvMsg(m any) error {
	call := ss.call
	call.bursts.received()
	if err := call.ctx.Err(); err != nil && call.stream.open() {
		return err // a client that goes on sending must not keep it from the handler
	}
	msg, err := call.stream.recv(&call.ctx)
	if err != nil {
		return err
	}
	defer msg.buf.release()
	return unmarshalRequest(call.sc.conn.codec, msg.buf.bytes(), m)
}

// encodeLastData ends a stream of data, with a last message if there is one.
func (call *serverCall) encodeLastData(resp any) (*buffer, error) {
	if isNil(resp) {
		return call.encodeData(nil, flagRemoteClosed|flagNoData)
	}
	return call.encodeData(resp, flagRemoteClosed)
}

// encodeData makes a frame of a stream's message. One that cannot be encoded is the
// handler's fault.
func (call *serverCall) encodeData(m any, fl flags) (*buffer, error) {
	frame, err := call.stream.encodeData(m, fl)
	if err != nil {
		var oversized *OversizedMessageErr
		if !errors.As(err, &oversized) {
			err = withCode(codes.Internal, err)
		}
	}
	return frame, err
}
