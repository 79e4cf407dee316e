package ttrpc

import (
	"errors"
	"runtime/debug"
	"sync/atomic"
	"time"

	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/protowire"
)

// A serverCall is a call, unary or not, while its handler runs: the stream, the
// handler's context and the request in one allocation. The goroutine of run
// owns it.
type serverCall struct {
	stream stream
	ctx    callContext
	sc     *serverConn
	method *method
	bursts burst

	// lease is not nil while the read loop runs the call and may
	// still read.
	lease *lease

	// The request of a unary call: payload points into request. That is released
	// when the handler has returned and nobody decodes it: some interceptors
	// return before the method does. Each of them counts in readers.
	request *buffer
	payload []byte
	readers atomic.Int32
}

// newServerCall takes over buf, into which req points.
func newServerCall(sc *serverConn, m *method, h header, req *requestView, buf *buffer) *serverCall {
	call := &serverCall{sc: sc, method: m}
	call.ctx.parent, call.ctx.peer, call.ctx.md = sc.serving.ctx, sc.peer, req.metadata
	if req.timeout != 0 {
		call.ctx.deadline = time.Now().Add(time.Duration(req.timeout))
	}
	st := &call.stream
	st.id, st.ctx = h.id, &call.ctx
	st.unary = m.unary != nil
	if st.unary {
		st.conn = sc.conn
		call.request, call.payload = buf, req.payload
		call.readers.Store(1)
		return call
	}
	st.init(sc.conn)
	// A client that streams may send its first message with the request. One
	// that does not sends its only one so, if perhaps of no bytes.
	sends := m.stream.StreamingClient && h.flags.has(flagRemoteOpen)
	none := m.stream.StreamingClient && !req.hasMessage(h.flags)
	if !none && buf != nil {
		buf.b = buf.b[:copy(buf.b, req.payload)]
	}
	st.push(message{typ: messageTypeData, last: !sends, none: none, buf: buf})
	return call
}

// free gives the request back, and what nobody receives any more. The call holds
// nothing of it after that: a handler may keep its context, or its end of the stream,
// and the call with it.
func (call *serverCall) free() {
	if call.stream.unary {
		call.readRequest(-1)
	} else {
		call.stream.drop(ErrStreamClosed)
	}
}

// readRequest adds n to the readers of the request, and says false when there are
// none any more. The last one releases it.
func (call *serverCall) readRequest(n int32) bool {
	for {
		readers := call.readers.Load()
		if readers == 0 {
			return false
		}
		if call.readers.CompareAndSwap(readers, readers+n) {
			if readers+n == 0 {
				call.request.release()
				call.request, call.payload = nil, nil // the call may be kept
			}
			return true
		}
	}
}

// runAlone is the goroutine of a call.
func (call *serverCall) runAlone() {
	growStack()
	call.run()
}

// growStack has the runtime give this goroutine the stack that decoding a message
// needs anyway, while there is little on it to copy: later that costs a third of a
// quick call.
//
//go:noinline
func growStack() byte {
	var room [1536]byte // of the 2 KiB that a goroutine begins with some are in use
	return room[len(room)-int(stackUse.Load())-1]
}

// stackUse is 0. The compiler does not know that, and keeps the array.
var stackUse atomic.Uint32

// run runs the handler and answers, also when the handler panics or calls
// runtime.Goexit. It is a goroutine of its own unless the call has a lease.
func (call *serverCall) run() {
	var frame *buffer
	start := clock()
	if call.lease != nil {
		call.lease.method = call.method
		call.lease.begin(start)
	}
	defer func() {
		ending := frame == nil // the panic handler ends the goroutine, or the process
		if ending {
			frame = call.errorFrame(errInternal("the handler of %s panicked", call.method.fullName))
		}
		now := clock()
		took := time.Duration(now - start)
		if call.lease != nil && !call.lease.end(start) {
			call.lease = nil // it has expired
		}
		call.method.cost.add(took, quickHandler)
		call.sc.conn.lastReply.Store(now)
		call.ctx.cancel()
		call.free()
		if ending {
			call.answerEnding(frame)
		} else {
			call.answer(frame)
		}
	}()
	defer func() {
		if frame == nil {
			frame = call.errorFrame(call.panicked(recover()))
		}
	}()
	if call.stream.unary {
		frame = call.runUnary()
	} else {
		frame = call.runStream()
	}
}

// answer sends the final frame.
func (call *serverCall) answer(frame *buffer) {
	sc, st := call.sc, &call.stream
	if call.lease == nil {
		sc.reply(st, frame)
	} else if !sc.replyHere(st, frame) {
		go sc.reply(st, frame)
	}
}

// answerEnding is answer for a goroutine whose end must wait for no client: with it a
// panic may end the process.
func (call *serverCall) answerEnding(frame *buffer) {
	sc, st := call.sc, &call.stream
	if !sc.conn.ch.tryReserve(len(frame.b)) {
		go sc.reply(st, frame)
		return
	}
	sc.finish(st, frame)
	sc.conn.ch.flush()
}

// panicked turns a panic into the error that the client gets. value is nil for
// runtime.Goexit.
func (call *serverCall) panicked(value any) error {
	stack := debug.Stack()
	err := errInternal("the handler of %s panicked", call.method.fullName)
	if value == nil {
		err = errInternal("the handler of %s ended its goroutine", call.method.fullName)
	}
	if h := call.sc.server.cfg.onPanic; h != nil {
		if herr := h(&call.ctx, call.method.fullName, value, stack); herr != nil {
			err = herr
		}
		return err
	}
	call.sc.server.log.Printf("connection %s, stream %d: %v: %v\n%s",
		call.sc.describe(), call.stream.id, err, value, stack)
	return err
}

// runUnary runs the handler and returns the response.
func (call *serverCall) runUnary() *buffer {
	var resp any
	var err error
	if chain := call.sc.server.unaryChain; chain != nil {
		info := &UnaryServerInfo{FullMethod: call.method.fullName}
		resp, err = chain(&call.ctx, call.unmarshal, info, call.method.unary)
	} else {
		resp, err = call.method.unary(&call.ctx, call.unmarshal)
	}
	if err == nil {
		var frame *buffer
		if frame, err = call.encodeResponse(resp); err == nil {
			return frame
		}
	}
	return call.errorFrame(err)
}

// unmarshal decodes the request. It is what the handler gets.
func (call *serverCall) unmarshal(m any) error {
	if !call.readRequest(1) {
		return errInternal("the handler of %s decodes its request after the call is over", call.method.fullName)
	}
	defer call.readRequest(-1)
	return unmarshalRequest(call.sc.conn.codec, call.payload, m)
}

// unmarshalRequest decodes what the client has sent. What is no message of this kind
// is the client's fault, and handlers return the error as it is.
func unmarshalRequest(c codec, b []byte, m any) error {
	if err := c.unmarshal(b, m); err != nil {
		return errStatus(codes.InvalidArgument, err)
	}
	return nil
}

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
			err = errStatus(codes.Internal, err)
		}
	}
	return frame, err
}

// encodeResponse makes a successful response.
func (call *serverCall) encodeResponse(resp any) (*buffer, error) {
	if isNil(resp) {
		return nil, errInternal("the handler of %s returned no message", call.method.fullName)
	}
	p, err := call.sc.conn.codec.newPayload(resp)
	if err != nil {
		return nil, errStatus(codes.Internal, err)
	}
	size := sizeResponse(statusOK, &p)
	if err := checkMessageLength(size, call.sc.conn.maxLength, responseNotSent); err != nil {
		return nil, err
	}
	frame := getBuffer(headerLength + size)
	b, err := appendResponse(frame.b[:headerLength], statusOK, &p)
	if err != nil {
		frame.release()
		return nil, errStatus(codes.Internal, err)
	}
	frame.b = b
	putHeader(b, header{length: uint32(size), id: call.stream.id, typ: messageTypeResponse})
	return frame, nil
}

func (call *serverCall) errorFrame(err error) *buffer {
	return responseFrame(call.stream.id, errorStatus(err), call.sc.conn.maxLength)
}

// responseFrame makes a response that carries a status, which is not OK. What
// does not fit into maxLength bytes loses its details, and then the end of its
// message.
func responseFrame(id streamID, st *spb.Status, maxLength int) *buffer {
	const overhead = 32 // for tags, lengths and the code
	length := sizeStatus(st)
	if length > maxLength-overhead {
		message := st.GetMessage()
		if room := max(maxLength-overhead, 0); len(message) > room {
			message = truncate(message, room)
		}
		st = &spb.Status{Code: st.GetCode(), Message: message}
		length = sizeStatus(st)
	}
	size := 1 + protowire.SizeBytes(length)
	frame := getBuffer(headerLength + size)
	b := protowire.AppendTag(frame.b[:headerLength], responseStatus, protowire.BytesType)
	b, err := appendStatus(protowire.AppendVarint(b, uint64(length)), st)
	if err != nil {
		frame.release()
		return responseFrame(id, newStatus(codes.Internal, "the status of the error cannot be encoded: %v", err), maxLength)
	}
	frame.b = b
	putHeader(b, header{length: uint32(size), id: id, typ: messageTypeResponse})
	return frame
}

// streamServer implements StreamServer.
type streamServer struct{ call *serverCall }

func (s *streamServer) SendMsg(m any) error {
	call := s.call
	frame, err := call.encodeData(m, 0)
	if err != nil {
		return err
	}
	if err := call.stream.send(&call.ctx, frame, moreFrames); err != nil {
		return err
	}
	call.bursts.flush(call.sc.conn.ch)
	return nil
}

func (s *streamServer) RecvMsg(m any) error {
	call := s.call
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
