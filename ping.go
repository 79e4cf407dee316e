package ttrpc

import (
	"context"
	"errors"

	"google.golang.org/grpc/codes"
)

// This file sends and answers pings, for both roles: PROTOCOL.md, section "Ping".

// pings is the state of pings in both directions. It exists once either side has sent a
// ping, or may send one for its keepalive. conn.mu guards it.
type pings struct {
	last    pingData      // the number of our last ping
	waiters []*pingWaiter // in order of their numbers

	pong       pingData // the bytes of the peer's last ping
	pongQueued bool     // a pong waits to be written
	pongOwed   bool     // a second pong, with the bytes in pong, follows the first

	keep *connKeepalive // nil for none
}

// A pingWaiter is a call of Client.Ping that waits for its pong.
type pingWaiter struct {
	number   pingData
	answered chan struct{} // closed when a pong with that number or a higher one arrives
	slot     slot          // parked, so that the read loop reads: see turn
}

var errNoPing = withCode(codes.Unimplemented, errors.New("ttrpc: the server does not answer pings: it does not have the extensions of the protocol, or has them switched off"))

// Ping sends a ping to the server and returns nil when the answer has arrived. The answer
// shows that the server's process runs and reads the connection; it says nothing about the
// handlers. If ctx ends first, Ping returns ctx.Err(); if the connection ends, ErrClosed. If
// the server lacks the extension, as every release does, or with
// WithClientExtensions(false), Ping returns an error with the code Unimplemented.
//
// Before the first call on a connection, the client does not know the extensions of the
// server. Ping then calls a method that no server has, to find out. (Not in released
// versions.)
func (c *Client) Ping(ctx context.Context) error {
	if c.conn == nil {
		return ErrClosed
	}
	timeout, err := timeoutOf(ctx)
	if err != nil {
		return err
	}
	if c.conn.ext.is(offering) {
		// Any answer shows which extensions the server has. A ResponseMetadata of ctx keeps
		// the metadata of the last call.
		asking := context.WithValue(ctx, responseMetadataKey{}, (*responseReceiver)(nil))
		err := c.roundTrip(asking, &requestEnvelope{service: "ttrpc.Extensions", method: "Ask", timeout: timeout},
			func(responseView) error { return nil })
		if err != nil {
			return err
		}
	}
	w, err := c.sendPing(ctx)
	if err != nil {
		return err
	}
	c.conn.ch.w.flush()
	defer c.forgetPing(w)
	select {
	case <-w.answered:
		return nil
	case <-c.conn.done:
		return ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
}

// sendPing queues a ping, after waiting for room, and makes the read loop read if nobody
// does.
func (c *Client) sendPing(ctx context.Context) (*pingWaiter, error) {
	const length = headerLength + pingLength
	cn := c.conn
	if err := cn.ch.w.room.take(ctx, nil, length); err != nil {
		if ctxErr := ctx.Err(); ctxErr != nil {
			return nil, ctxErr
		}
		return nil, writeError(err)
	}
	cn.mu.Lock()
	defer cn.mu.Unlock()
	err := error(nil)
	if cn.err != nil {
		err = ErrClosed
	} else if !cn.ext.maySend(featurePing) {
		err = errNoPing
	}
	if err != nil {
		cn.ch.w.room.give(length)
		return nil, err
	}
	p := cn.pingsLocked()
	p.last++
	w := &pingWaiter{number: p.last, answered: make(chan struct{})}
	p.waiters = append(p.waiters, w)
	cn.ch.w.enqueue(w.number.frame(messageTypePing))
	c.reader.turn.park(&w.slot)
	c.ensureReaderLocked()
	return w, nil
}

// forgetPing ends the wait of w.
func (c *Client) forgetPing(w *pingWaiter) {
	c.conn.mu.Lock()
	defer c.conn.mu.Unlock()
	c.reader.turn.unpark(&w.slot)
	p := c.conn.pings
	for i := range p.waiters {
		if p.waiters[i] == w {
			p.waiters = append(p.waiters[:i], p.waiters[i+1:]...)
			return
		}
	}
}

// pingsLocked returns the state of pings. The first call makes it.
func (cn *conn) pingsLocked() *pings {
	if cn.pings == nil {
		cn.pings = &pings{}
	}
	return cn.pings
}

// takePing handles a ping or a pong with payload b. The goroutine that reads calls it.
func (cn *conn) takePing(typ messageType, b []byte) error {
	data, ok := parsePing(b)
	cn.mu.Lock()
	inUse := cn.ext.maySend(featurePing)
	cn.mu.Unlock()
	switch {
	case !inUse:
	case !ok:
		return errProtocol("a %v of %d bytes, which is too short", typ, len(b))
	case typ == messageTypePing:
		cn.answerPing(data)
	default:
		cn.pongCame(data)
	}
	return nil
}

// pongCame wakes the callers that wait for the pong with that number or a lower one. It
// ignores a pong for a ping that was not sent yet.
func (cn *conn) pongCame(number pingData) {
	cn.mu.Lock()
	defer cn.mu.Unlock()
	p := cn.pings
	if p == nil || number > p.last {
		return
	}
	n := 0
	for n < len(p.waiters) && p.waiters[n].number <= number {
		close(p.waiters[n].answered)
		n++
	}
	p.waiters = append(p.waiters[:0], p.waiters[n:]...)
}

// answerPing sends a pong. While an earlier pong waits to be written, answerPing only
// records the bytes for the next one: a peer that sends pings and does not read then costs
// no memory.
func (cn *conn) answerPing(data pingData) {
	cn.mu.Lock()
	p := cn.pingsLocked()
	p.pong = data
	p.pongOwed = p.pongQueued
	if !p.pongOwed {
		cn.queuePongLocked()
	}
	owed := p.pongOwed
	cn.mu.Unlock()
	if !owed {
		cn.ch.w.flush()
		cn.ch.w.whenFlushed(cn.pongWritten)
	}
}

func (cn *conn) queuePongLocked() {
	cn.pings.pongQueued = true
	cn.ch.w.enqueueReply(cn.pings.pong.frame(messageTypePong)) // at most one waits, so that it needs no room
}

// pongWritten is called when a pong is written, or nothing can be written any more. If
// another ping has arrived, pongWritten sends the next pong.
func (cn *conn) pongWritten() {
	cn.mu.Lock()
	p := cn.pings
	owed := p.pongOwed
	p.pongQueued, p.pongOwed = false, false
	if owed {
		cn.queuePongLocked()
	}
	cn.mu.Unlock()
	if owed {
		cn.ch.w.flushLater()
		cn.ch.w.whenFlushed(cn.pongWritten)
	}
}
