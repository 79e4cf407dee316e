package ttrpc

import (
	"runtime/debug"
	"sync/atomic"
	"time"

	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/protowire"
)

// A serverCall is a call of either kind while its handler runs: the stream, the handler's
// context and the request in one allocation. The goroutine that runs the call owns it.
type serverCall struct {
	stream stream
	ctx    callContext
	sc     *serverConn
	method *method

	// response is the metadata that the handler has set; nil before the first use.
	response atomic.Pointer[responseMetadata]

	bursts burst

	// onReadLoop is set while the read loop runs the call, and may still read.
	onReadLoop bool

	request callRequest // of a unary call
}

// A streamingCall is the one allocation of a streaming call.
type streamingCall struct {
	serverCall
	inbox inbox // stream.inbox points to it
}

// newServerCall takes over buf, into which req points.
func newServerCall(sc *serverConn, m *method, h header, req *requestView, buf *buffer) *serverCall {
	var call *serverCall
	if m.unary != nil {
		call = new(serverCall)
	} else {
		streaming := new(streamingCall)
		call = &streaming.serverCall
		call.stream.init(sc.conn, &streaming.inbox)
	}
	call.sc, call.method = sc, m
	call.ctx.call, call.ctx.md = call, req.metadata
	if req.timeout != 0 {
		call.ctx.deadline = time.Now().Add(time.Duration(req.timeout))
	}
	st := &call.stream
	st.id, st.ctx = h.id, &call.ctx
	if m.unary != nil {
		st.conn = sc.conn
		call.request.init(buf, len(req.payload), req.payloadEnd)
		return call
	}
	// A client that streams may send its first message with the request. Any other client
	// sends its only message there, which may have no bytes.
	sends := m.stream.StreamingClient && h.flags.has(flagRemoteOpen)
	none := m.stream.StreamingClient && !req.hasMessage(h.flags)
	if !none && buf != nil {
		buf.b = buf.b[:copy(buf.b, req.payload)]
	}
	st.push(message{typ: messageTypeData, last: !sends, none: none, buf: buf})
	return call
}

// free releases the request, and the messages that no receiver has taken. After that the
// call holds nothing of the request, since a handler may keep its context or its stream,
// and the call with it.
func (call *serverCall) free() {
	if call.stream.unary() {
		call.request.close()
	} else {
		call.stream.drop(ErrStreamClosed)
	}
}

// runAlone runs a call on a goroutine that ends with the call.
func (call *serverCall) runAlone() {
	growStack()
	call.run()
}

// growStack makes the runtime grow the stack of this goroutine now, if it is new, while there
// is little on it to copy. Decoding a message needs the larger stack anyway, and growing it then
// costs a third of a quick call.
//
//go:noinline
func growStack() byte {
	var room [1536]byte // part of the 2 KiB with which a goroutine begins is in use
	return room[len(room)-int(stackUse.Load())-1]
}

// stackUse is 0. The compiler does not know that, and keeps the array.
var stackUse atomic.Uint32

// run runs the handler and answers, even if the handler panics or calls runtime.Goexit. It
// runs on a goroutine that ends with the call, or on the read loop if onReadLoop is set.
func (call *serverCall) run() {
	start := clock()
	if call.onReadLoop {
		call.sc.lend(start, call.method)
	}
	var frame *buffer
	defer func() { call.end(start, frame) }()
	call.handle(&frame)
}

// handle runs the handler and sets frame to the answer. frame stays nil if the panic
// handler ends the goroutine or the process.
func (call *serverCall) handle(frame **buffer) {
	defer func() {
		if *frame == nil {
			*frame = call.errorFrame(call.panicked(recover()))
		}
	}()
	if call.stream.unary() {
		*frame = call.runUnary()
	} else {
		*frame = call.runStream()
	}
}

// end ends a call whose handler began at start, and then sends the answer: the client may
// send its next call as soon as it has the answer.
func (call *serverCall) end(start int64, frame *buffer) {
	ending := frame == nil
	if ending {
		frame = call.errorFrame(errInternal("the handler of %s panicked", call.method.fullName))
	}
	now := clock()
	call.onReadLoop = call.onReadLoop && call.sc.lease.reclaim(start)
	call.method.cost.add(time.Duration(now-start), quickHandler)
	call.sc.conn.lastReply.Store(now)
	call.ctx.cancel(nil)
	call.free()
	call.sealMetadata()
	if ending {
		call.answerEnding(frame)
	} else {
		call.answer(frame)
	}
}

// answer sends the final frame.
func (call *serverCall) answer(frame *buffer) {
	sc, st := call.sc, &call.stream
	if !call.onReadLoop {
		sc.reply(st, frame)
	} else if !sc.replyHere(st, frame) {
		go sc.reply(st, frame)
	}
}

// answerEnding is answer for a goroutine that is ending and must not wait for the client:
// its panic may be about to end the process.
func (call *serverCall) answerEnding(frame *buffer) {
	sc, st := call.sc, &call.stream
	if !sc.conn.ch.w.room.tryTake(call.finalLength(frame)) {
		go sc.reply(st, frame)
		return
	}
	sc.finish(st, frame)
	sc.conn.ch.w.flush()
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
	call.sc.server.log.panicked(stack, "connection %s, stream %d: %v: %v",
		call.sc.describe(), call.stream.id, err, limitedValue{value})
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

// unmarshal decodes the request, for the handler.
func (call *serverCall) unmarshal(m any) error {
	if !call.request.beginDecode() {
		return call.requestGone()
	}
	defer call.request.endDecode()
	return unmarshalRequest(call.sc.conn.codec, call.request.payload(), m)
}

// requestGone returns the reason why a request cannot be decoded any more: the error that
// ended the stream, such as ErrClosed for the end of the connection, or that the handler
// has returned.
func (call *serverCall) requestGone() error {
	if err := call.stream.sendError(); err != nil && err != ErrStreamClosed {
		return err
	}
	return errInternal("the handler of %s decodes its request after the call is over", call.method.fullName)
}

// unmarshalRequest decodes a message of the client. An error means that the client has sent
// other bytes than the type needs, and gets a code: handlers return the error unchanged.
func unmarshalRequest(c codec, b []byte, m any) error {
	if err := c.unmarshal(b, m); err != nil {
		return withCode(codes.InvalidArgument, err)
	}
	return nil
}

// encodeResponse returns the frame of a successful response.
func (call *serverCall) encodeResponse(resp any) (*buffer, error) {
	if isNil(resp) {
		return nil, errInternal("the handler of %s returned no message", call.method.fullName)
	}
	p, err := call.sc.conn.codec.newPayload(resp)
	if err != nil {
		return nil, withCode(codes.Internal, err)
	}
	size := sizeResponse(statusOK, &p)
	if err := checkMessageLength(size, call.sc.conn.maxSend(), responseNotSent); err != nil {
		return nil, err
	}
	frame := getBuffer(headerLength + size)
	b, err := appendResponse(frame.b[:headerLength], statusOK, &p)
	if err != nil {
		frame.release()
		return nil, withCode(codes.Internal, err)
	}
	frame.b = b
	putHeader(b, header{length: uint32(size), id: call.stream.id, typ: messageTypeResponse})
	return frame, nil
}

func (call *serverCall) errorFrame(err error) *buffer {
	return responseFrame(call.stream.id, statusOf(err), call.sc.conn.maxSend())
}

// responseFrame returns a response with a status that is not OK. A status that does not fit
// into maxLength bytes loses its details, and then the end of its message.
func responseFrame(id streamID, status *spb.Status, maxLength int) *buffer {
	const overhead = 32 // for tags, lengths and the code
	length := sizeStatus(status)
	if length > maxLength-overhead {
		message := status.GetMessage()
		if room := max(maxLength-overhead, 0); len(message) > room {
			message = truncate(message, room)
		}
		status = &spb.Status{Code: status.GetCode(), Message: message}
		length = sizeStatus(status)
	}
	size := 1 + protowire.SizeBytes(length)
	frame := getBuffer(headerLength + size)
	b := protowire.AppendTag(frame.b[:headerLength], responseStatus, protowire.BytesType)
	b, err := appendStatus(protowire.AppendVarint(b, uint64(length)), status)
	if err != nil {
		frame.release()
		return responseFrame(id, newStatus(codes.Internal, "the status of the error cannot be encoded: %v", err), maxLength)
	}
	frame.b = b
	putHeader(b, header{length: uint32(size), id: id, typ: messageTypeResponse})
	return frame
}
