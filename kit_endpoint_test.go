package ttrpc

import (
	"context"
	"net"
	"testing"
)

// A scriptedEndpoint is the endpoint of a conn without a client or server. The functions
// may be nil.
type scriptedEndpoint struct {
	endpoint // panics if a test calls another method

	onReceiverWaits             func(entry)
	onSenderWaits, onSenderGoes func(*slot)
}

func (e *scriptedEndpoint) receiverWaits(_ context.Context, waiting entry) {
	e.onReceiverWaits(waiting)
}

func (e *scriptedEndpoint) senderWaits(s *slot) { e.onSenderWaits(s) }

func (e *scriptedEndpoint) senderGoesOn(s *slot) { e.onSenderGoes(s) }

func (*scriptedEndpoint) ended(error) {}

func (*scriptedEndpoint) writeFailed(error) {}

// scriptedConn returns a conn on nc that nobody reads.
func scriptedConn(t testing.TB, nc net.Conn, e *scriptedEndpoint) *conn {
	cn := newConn(nc, e, defaultConnConfig)
	t.Cleanup(func() { cn.fail(ErrClosed) })
	return cn
}

// holdFrame queues a frame on cn and makes the test the flusher. It returns a function that
// writes the frame.
func holdFrame(t testing.TB, cn *conn) (write func()) {
	t.Helper()
	w := &cn.ch.w
	buf := getBuffer(headerLength)
	buf.b = buf.b[:headerLength]
	putHeader(buf.b, header{id: 1, typ: messageTypeResponse})
	w.room.overdraw(len(buf.b))
	w.enqueue(buf)
	if !w.claim() {
		t.Fatal("there is a flusher")
	}
	return func() { w.writeAll(w.begin(), 0) }
}
