package ttrpc

import (
	"context"
	"io"
	"sync"
	"sync/atomic"
	"time"
)

// A stream is one call on a connection: on a client a streaming call, on a server any call.
// It enters conn.streams before its request is queued or its handler starts, and leaves it
// when its final frame is read (client) or queued (server), or when it ends early.
//
// Receiving and sending close separately. Receiving ends when the goroutine that reads, the
// read loop or a leader, gets the peer's last frame, or with an error; the messages in the
// inbox can still be received. Sending ends with the last frame of this side, or with the
// stream. See PROTOCOL.md, section "States of a stream".
//
// Locks: conn.mu before stream.mu before writer.mu before budget.mu.
type stream struct {
	conn *conn
	slot

	// ctx is the handler's context, which ends with the stream; nil on a client.
	ctx *callContext

	// stop ends the watch on the caller's context; nil on a server and if there is no
	// watch.
	stop func() bool

	// wake holds a token when a receiver may find a message or the end of the stream. A
	// receiver that takes the token and leaves something to receive puts the token
	// back.
	wake chan struct{}

	mu         sync.Mutex
	flow       *flow         // its windows; nil for none. Does not change while the stream is in the table
	inbox      *inbox        // closed after the peer's last message, or with the stream; nil: see unary
	peerClosed bool          // the peer's last message has arrived
	sendErr    error         // the error of senders; nil while they may send
	sendDone   chan struct{} // made by the first wait; closed when senders are refused
}

func (st *stream) init(cn *conn, in *inbox) {
	st.conn, st.inbox = cn, in
	if st.wake == nil {
		st.wake = make(chan struct{}, 1)
	}
	st.inbox.init(cn.pauses.total())
}

// signal puts the token into wake.
func (st *stream) signal() {
	select {
	case st.wake <- struct{}{}:
	default:
	}
}

// unary reports whether the stream is a call of one message each way, on a server.
func (st *stream) unary() bool { return st.inbox == nil }

// end ends the stream in both directions. The function that took it out of the table calls
// it, without locks. On a server it ends the context, closes the request (see
// callRequest.streamEnded), and has waiting messages dropped once the handler takes none
// any more (see dropLateLocked).
func (st *stream) end(err error) {
	st.mu.Lock()
	st.closeSendLocked(err)
	if !st.unary() {
		st.inbox.close(err)
		if st.ctx != nil {
			st.dropLateLocked(err)
		}
		st.signal()
	}
	st.mu.Unlock()
	if st.ctx != nil {
		st.ctx.cancel(st.conn.causeOf(err))
	}
	if st.unary() {
		st.ctx.call.request.streamEnded()
	}
	if st.stop != nil {
		go stopWatch(st.stop)
	}
}

// dropLateLocked starts a timer that drops the messages of an ended stream on a server,
// if any wait: a handler that is receiving gets the messages that the client sent before it
// went away, and one that takes nothing for slowConsumerLimit keeps nothing.
func (st *stream) dropLateLocked(err error) {
	left := st.inbox.size
	if left == 0 {
		return
	}
	time.AfterFunc(slowConsumerLimit, func() {
		st.mu.Lock()
		defer st.mu.Unlock()
		if st.inbox.size == left {
			st.inbox.discard(err)
			return
		}
		st.dropLateLocked(err)
	})
}

// refuseSend makes err the error of senders, unless they have an error already.
func (st *stream) refuseSend(err error) {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.closeSendLocked(err)
}

// closeSendLocked implements refuseSend. It wakes senders that wait for room or the window.
func (st *stream) closeSendLocked(err error) {
	if st.sendErr == nil {
		st.sendErr = err
	}
	if st.sendDone != nil {
		close(st.sendDone)
		st.sendDone = nil
	}
}

// sendError returns the error of senders; nil while they may send.
func (st *stream) sendError() error {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.sendErr
}

// mayReceive reports whether the peer may send more messages.
func (st *stream) mayReceive() bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	return !st.unary() && !st.peerClosed
}

// setRecvErr makes err the error of receivers from now on, instead of io.EOF.
func (st *stream) setRecvErr(err error) {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.inbox.err = err
}

// drop releases the waiting messages, if the stream can have any; later receivers get err.
func (st *stream) drop(err error) {
	if st.unary() {
		return
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	st.inbox.discard(err)
	st.signal()
}

// open reports whether more messages may arrive.
func (st *stream) open() bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.inbox.err == nil
}

// place is part of entry.
func (st *stream) place() *slot { return &st.slot }

// receivable is part of entry.
func (st *stream) receivable() bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.inbox.ready()
}

// send queues a frame on the stream, after waiting for the window and for room. The end of
// ctx and the end of the stream end the wait. If ctx has ended, a frame that is not the
// last one is not sent even if there is room: a sender in a loop must notice the end. send
// takes over buf. The caller flushes.
func (st *stream) send(ctx context.Context, buf *buffer, final finality) error {
	cost := uint64(0)
	if st.flow != nil {
		cost = dataCost(parseHeader(buf.b))
	}
	err := st.reserve(ctx, len(buf.b))
	if err == nil && final == moreFrames {
		err = st.keepRoom(ctx, len(buf.b))
	}
	st.mu.Lock()
	for err == nil && st.sendErr == nil && !st.chargeLocked(cost) {
		st.mu.Unlock()
		err = st.reserveOpen(ctx, len(buf.b))
		st.mu.Lock()
	}
	defer st.mu.Unlock()
	if st.sendErr != nil {
		if err == nil {
			st.conn.ch.w.room.give(len(buf.b))
		}
		err = st.sendErr // has the reason why there was no room
		if final == lastFrame && err == io.EOF {
			st.sendErr = ErrStreamClosed // CloseSend may end a stream that the server has ended, once
		}
	}
	if err != nil {
		buf.release()
		return err
	}
	if final == lastFrame {
		st.closeSendLocked(ErrStreamClosed)
	}
	st.conn.ch.w.enqueue(buf)
	return nil
}

// keepRoom returns the error of ctx. If there is an error, or if Err panics, which is the
// user's code, keepRoom gives n bytes of room back.
func (st *stream) keepRoom(ctx context.Context, n int) (err error) {
	kept := false
	defer func() {
		if !kept {
			st.conn.ch.w.room.give(n)
		}
	}()
	err = ctx.Err()
	kept = err == nil
	return err
}

// done returns a channel that is closed when the peer or this side ends the stream.
func (st *stream) done() <-chan struct{} {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.inbox.err != nil {
		return closedChan
	}
	return st.sendDoneLocked()
}

// senderDone returns a channel that is closed when senders are refused.
func (st *stream) senderDone() <-chan struct{} {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.sendErr != nil {
		return closedChan
	}
	return st.sendDoneLocked()
}

func (st *stream) sendDoneLocked() <-chan struct{} {
	if st.sendDone == nil {
		st.sendDone = make(chan struct{})
	}
	return st.sendDone
}

// reserve takes room in the queue of the connection, as budget.take does.
func (st *stream) reserve(ctx context.Context, n int) error {
	ch := st.conn.ch
	if ch.w.room.tryTake(n) {
		return nil
	}
	ch.w.flush() // of the header that goes before this message: it may fill the queue
	st.mu.Lock()
	if st.sendErr != nil {
		defer st.mu.Unlock()
		return st.sendErr
	}
	done := st.sendDoneLocked()
	st.mu.Unlock()
	if err := ch.w.room.take(ctx, done, n); err != nil {
		if ctxErr := ctx.Err(); ctxErr != nil {
			return ctxErr
		}
		return writeError(err)
	}
	return nil
}

// finality tells the last frame of this side on a stream from earlier frames.
type finality uint8

const (
	moreFrames finality = iota
	lastFrame
)

func (fin finality) String() string {
	if fin == lastFrame {
		return "last frame"
	}
	return "more frames"
}

// encodeData encodes m as a data frame of this stream. A nil m stands for no message.
func (st *stream) encodeData(m any, fl flags) (*buffer, error) {
	var p payload
	if !isNil(m) {
		var err error
		if p, err = st.conn.codec.newPayload(m); err != nil {
			return nil, err
		}
	}
	if err := checkMessageLength(p.size, st.conn.maxSend(), messageNotSent); err != nil {
		return nil, err
	}
	buf := getBuffer(headerLength + p.size)
	buf.b = buf.b[:headerLength]
	putHeader(buf.b, header{length: uint32(p.size), id: st.id, typ: messageTypeData, flags: fl})
	b, err := p.append(buf.b)
	if err != nil {
		buf.release()
		return nil, err
	}
	buf.b = b
	return buf, nil
}

// burst decides how a stream's sender flushes. The sender writes the first message after a
// receive itself, because the peer is likely waiting for it. Another goroutine writes the
// messages that follow, so that they gather while it writes.
type burst struct{ sending atomic.Bool }

func (bu *burst) flush(ch *channel) {
	if bu.sending.Swap(true) {
		ch.w.flushLater()
	} else {
		ch.w.flush()
	}
}

func (bu *burst) received() {
	if bu.sending.Load() {
		bu.sending.Store(false)
	}
}

// closedChan is a channel that is closed.
var closedChan = func() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()
