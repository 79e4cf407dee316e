package ttrpc

import (
	"context"
	"fmt"
	"net"
	"sync/atomic"

	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
)

// A serverConn is a connection of a server: first its handshake, then the owner of a conn,
// whose frames it turns into calls.
type serverConn struct {
	server  *Server
	serving *serving
	nc      net.Conn // as accepted; the handshake may replace it

	// conn, and peer, the result of the handshaker, are nil during the handshake. They are
	// guarded by server.mu until they are set, and do not change after that. refused is
	// set if there will be no conn; guarded by server.mu.
	conn    *conn
	peer    any
	refused bool

	// uid is the user among whose connections this one counts. Guarded by server.mu.
	uid connUID

	// abort ends the handshake; nil before it and without a handshaker.
	// Guarded by server.mu.
	abort func()

	// Owned by the goroutine that reads: see startCall.

	requested  bool        // a call has begun
	handedOver *serverCall // the call that the read loop's goroutine runs next, as its last

	lease   lease   // of the right to read, while the read loop runs a handler
	lentFor *method // the handler's method; the read loop sets it before it lends the right

	// running is the number of running calls. It may exceed the number of streams: a
	// stream that fails ends before its handler does.
	running atomic.Int64
}

// serve is the goroutine of a new connection: the handshake, then the read loop.
// Server.startConn starts it. After a user's handshaker the read loop has a goroutine of its
// own: a handler may follow on it, and the handshaker may have changed its own for good.
func (sc *serverConn) serve() {
	switch {
	case !sc.establish():
	case sc.server.cfg.handshaker != nil:
		sc.startReadLoop()
	default:
		sc.readLoop()
	}
}

// readLoop is the read loop, until the connection ends or another read loop takes its place
// (see startCall). Its goroutine then ends, after a call that has been handed over.
func (sc *serverConn) readLoop() {
	for {
		switch err := sc.conn.handleNext(); {
		case err == errHandedOver:
			sc.runHandedOver()
			return
		case !sc.conn.readsOn(err):
			return
		}
	}
}

// started returns the conn, nil during the handshake.
func (sc *serverConn) started() *conn {
	sc.server.mu.Lock()
	defer sc.server.mu.Unlock()
	return sc.conn
}

// drain ends the connection as soon as no call runs. During the handshake it ends the
// connection at once.
func (sc *serverConn) drain() {
	if cn := sc.started(); cn != nil {
		cn.drain()
	} else {
		sc.abandonHandshake()
	}
}

// close ends the connection at once.
func (sc *serverConn) close() {
	if cn := sc.started(); cn != nil {
		cn.fail(ErrServerClosed)
	} else {
		sc.abandonHandshake()
	}
}

// tellCalls makes the contexts of running calls record the end of Serve's context.
func (sc *serverConn) tellCalls() {
	cn := sc.started()
	if cn == nil {
		return
	}
	cn.mu.Lock()
	defer cn.mu.Unlock()
	for _, e := range cn.streams {
		e.(*stream).ctx.Err()
	}
}

// ended is part of endpoint.
func (sc *serverConn) ended(err error) {
	if !isClosedError(err) && err != ErrServerClosed {
		sc.server.log.event(logFailed, "connection %s failed: %s", sc.describe(), bareText(err))
	}
	sc.server.removeConn(sc)
	sc.serving.tell(endReason(err))
}

// describe returns the name of the connection for the log. During the handshake the peer is
// not known. Addresses are quoted: a peer may bind its socket to any name, also to one that
// looks like the text of a log line.
func (sc *serverConn) describe() string {
	if sc.peer != nil {
		return "from " + describePeer(sc.peer)
	}
	if addr := sc.nc.RemoteAddr(); addr != nil && addr.String() != "" && addr.String() != "@" { // a unix socket without a name
		return "from " + quoteName(addr.String())
	}
	if addr := sc.nc.LocalAddr(); addr != nil {
		return "to " + quoteName(addr.String())
	}
	return fmt.Sprintf("(%T)", sc.nc)
}

// handleFrame is part of endpoint: PROTOCOL.md, section "The server's rules".
func (sc *serverConn) handleFrame(h header, buf *buffer) error {
	switch {
	case sc.knowsExtension(h):
		return sc.handleExtension(h, buf)
	case !h.id.isClient():
		buf.release()
		return sc.reject(h.id, newStatus(codes.InvalidArgument, "stream id %d is not odd, as a client's must be", h.id))
	case h.typ == messageTypeRequest:
		return sc.handleRequest(h, buf)
	case h.typ == messageTypeData:
		return sc.handleData(h, buf)
	}
	buf.release() // a type that a later version may know
	return nil
}

// handleRequest starts a call. The stream enters the table before its handler starts; a
// refused request never enters the table.
func (sc *serverConn) handleRequest(h header, buf *buffer) error {
	var req requestView
	if err := req.parse(buf.bytes(), sc.server.cfg.maxMetadata); err != nil {
		buf.release()
		return sc.reject(h.id, newStatus(codes.InvalidArgument, "%v", err))
	}
	if req.offer != nil {
		sc.takeOffer(req.offer)
	}
	method, status := sc.admit(&req, h.flags)
	if status != nil {
		buf.release()
		return sc.reject(h.id, status)
	}
	call := newServerCall(sc, method, h, &req, buf)
	if status := sc.insert(call); status != nil {
		call.free()
		return sc.reject(h.id, status)
	}
	if sc.serving.ctx.Err() != nil {
		call.ctx.settle(call.ctx.parentContext()) // Serve's context ended before the call arrived
	}
	return sc.startCall(call)
}

// receiverWaits is part of endpoint. A server has no leaders.
func (sc *serverConn) receiverWaits(context.Context, entry) {}

// senderWaits is part of endpoint. A read loop always reads.
func (sc *serverConn) senderWaits(*slot) {}

// senderGoesOn is part of endpoint.
func (sc *serverConn) senderGoesOn(*slot) {}

// admit returns the method of a request, or a status that refuses the request.
func (sc *serverConn) admit(req *requestView, fl flags) (*method, *spb.Status) {
	if req.metadataSize > sc.server.cfg.maxMetadata {
		return nil, newStatus(codes.ResourceExhausted, "metadata of %d bytes exceeds the maximum of %d",
			req.metadataSize, sc.server.cfg.maxMetadata)
	}
	m, serviceExists := sc.server.services.Load().find(req.service, req.method)
	switch {
	case !serviceExists:
		return nil, newStatus(codes.Unimplemented, "unknown service %s", cut(req.service, maxNameLength))
	case m == nil:
		return nil, newStatus(codes.Unimplemented, "unknown method %s of service %s",
			cut(req.method, maxNameLength), req.service)
	}
	return m, m.refuse(fl)
}

// insert puts the call into the table, or returns a status that refuses the call. An id may
// be lower than an earlier one, as ids of the Rust client can be, but must not be in use.
func (sc *serverConn) insert(call *serverCall) *spb.Status {
	cn, id := sc.conn, call.stream.id
	cn.mu.Lock()
	defer cn.mu.Unlock()
	switch {
	case cn.streams[id] != nil:
		return newStatus(codes.InvalidArgument, "stream id %d is in use", id)
	case cn.err != nil || cn.draining:
		return newStatus(codes.Unavailable, "the server is shutting down")
	case sc.server.cfg.maxCalls > 0 && int(sc.running.Load()) >= sc.server.cfg.maxCalls:
		return newStatus(codes.ResourceExhausted, "more than %s at once on this connection: see WithServerMaxCalls", plural(sc.server.cfg.maxCalls, "call"))
	case !sc.server.calls.begin():
		return newStatus(codes.ResourceExhausted, "more than %s at once on this server: see WithServerMaxHandlers", plural(sc.server.cfg.maxHandlers, "call"))
	}
	cn.lastID = max(cn.lastID, id)
	if !call.stream.unary() && !cn.ext.is(plain) {
		if f := new(flow); cn.startFlowLocked(f) {
			call.stream.flow = f
		}
	}
	cn.insertLocked(&call.stream)
	sc.running.Add(1) // until callOver
	return nil
}

// streamLocked returns the stream with that id, or nil.
func (sc *serverConn) streamLocked(id streamID) *stream {
	st, _ := sc.conn.streams[id].(*stream)
	return st
}

// lookup implements streamLocked for callers without the lock.
func (sc *serverConn) lookup(id streamID) *stream {
	sc.conn.mu.Lock()
	defer sc.conn.mu.Unlock()
	return sc.streamLocked(id)
}

// handleData delivers a message to its stream, or refuses it.
func (sc *serverConn) handleData(h header, buf *buffer) error {
	cn := sc.conn
	cn.mu.Lock()
	st, lastID := sc.streamLocked(h.id), cn.lastID
	cn.mu.Unlock()
	switch {
	case st == nil:
		buf.release()
		if h.id <= lastID {
			return nil // the stream has ended, and the client may not know that yet
		}
		return sc.reject(h.id, newStatus(codes.InvalidArgument, "no stream %d", h.id))
	case !st.mayReceive():
		buf.release()
		return &streamError{h: h, code: codes.InvalidArgument, err: errProtocol("data after the client's last message")}
	}
	return cn.deliver(st, message{
		typ:  h.typ,
		last: h.flags.has(flagRemoteClosed),
		none: h.flags.has(flagNoData),
		cost: uint32(dataCost(h)),
		buf:  buf,
	})
}

// streamFailed is part of endpoint. The stream ends with a response that has the reason. A
// refused request, and any frame on an even id, gets such a response, too. Other frames
// without a stream get none: their stream has ended, or a later version may know their type.
func (sc *serverConn) streamFailed(e *streamError) error {
	id, status := e.h.id, statusOf(e.err)
	status.Code = int32(e.code)
	st := sc.lookup(id)
	switch {
	case sc.knowsExtension(e.h): // a client with extensions ends the connection at a response on id 0
	case id.isClient() && e.h.typ != messageTypeRequest && e.h.typ != messageTypeData:
	case st != nil && st.callerGone():
	case st != nil:
		sc.remove(st, e.err, func() { sc.queueReply(id, status) })
		st.drop(e.err)
		sc.conn.ch.w.flush()
	case !id.isClient() || e.h.typ == messageTypeRequest:
		return sc.reject(id, status)
	}
	return nil
}

// reject answers a frame without a stream by status.
func (sc *serverConn) reject(id streamID, status *spb.Status) error {
	cn := sc.conn
	cn.mu.Lock()
	if id.isClient() {
		cn.lastID = max(cn.lastID, id) // data that follows is late, not new
	}
	over := cn.err != nil
	cn.mu.Unlock()
	if over {
		return nil // the peer is about to see the end of the connection
	}
	sc.queueReply(id, status)
	cn.ch.w.flush()
	return nil
}

// queueReply queues the response to a refused frame or for a stream that has failed. Only the
// goroutine that reads calls it.
func (sc *serverConn) queueReply(id streamID, status *spb.Status) {
	sc.conn.lastReply.Store(clock())
	if full := sc.conn.ch.w.enqueueReply(responseFrame(id, status, sc.conn.maxSend())); full {
		sc.conn.reader.repliesFull = true
	}
}

// reply sends the final frame of a call whose handler has returned, and takes over frame. It
// waits for room, but not beyond the end of the connection.
func (sc *serverConn) reply(st *stream, frame *buffer) {
	if err := sc.conn.ch.w.room.take(context.Background(), nil, st.ctx.call.finalLength(frame)); err != nil {
		st.ctx.call.dropFinal(frame)
		sc.callOver()
		sc.remove(st, ErrStreamClosed, func() {}) // nothing can be written any more
		return
	}
	sc.finish(st, frame)
	if sc.conn.ch.w.claim() {
		if sc.running.Load() > 0 {
			sc.conn.yield()
		}
		sc.conn.ch.w.writeClaimedWaiting()
	}
}

// replyHere is reply for the read loop: it neither waits nor writes. It returns false, and
// does nothing, if there is no room.
func (sc *serverConn) replyHere(st *stream, frame *buffer) bool {
	ch := sc.conn.ch
	if !ch.w.room.tryTake(st.ctx.call.finalLength(frame)) {
		return false
	}
	ch.unflushed = true
	sc.finish(st, frame)
	return true
}

// finish queues the final frame of a call whose handler has returned. The caller has taken
// room for the frame. If the stream has ended, or the client has given up on it, finish
// drops the frame.
//
// The call stops counting first, since the client may send the next call as soon as it has
// the response. A call that waits for room still counts: it costs a goroutine.
func (sc *serverConn) finish(st *stream, frame *buffer) {
	sc.callOver()
	ch := sc.conn.ch
	sent := false
	sc.remove(st, ErrStreamClosed, func() {
		if st.sendErr != errCallerGone {
			st.ctx.call.queueFinal(frame)
			sent = true
		}
	})
	if !sent {
		ch.w.room.give(st.ctx.call.finalLength(frame))
		st.ctx.call.dropFinal(frame)
	}
}

// remove takes a stream out of the table and ends it because of err, after queue has queued
// the final frame. It returns false, and does nothing, if the stream has ended. Nothing
// follows the final frame: senders are refused under the same lock.
func (sc *serverConn) remove(st *stream, err error, queue func()) bool {
	cn := sc.conn
	cn.mu.Lock()
	if cn.streams[st.id] != st {
		cn.mu.Unlock()
		return false
	}
	st.mu.Lock()
	st.closeSendLocked(err)
	queue()
	st.mu.Unlock()
	cn.removeLocked(st)
	cn.mu.Unlock()
	st.end(err)
	return true
}
