package ttrpc

import (
	"io"
	"net"
	"sync"
	"time"
)

// memPipe returns the two ends of a connection in memory. Each direction holds up to
// capacity bytes, and then writers wait; 0 means no limit. After one end is closed, the
// other end reads the bytes that were written and then io.EOF, and its writes return
// io.ErrClosedPipe. Deadlines have no effect.
//
// A goroutine that waits in a memConn is durably blocked in the sense of testing/synctest.
func memPipe(capacity int) (a, b *memConn) {
	ab, ba := newMemHalf(capacity), newMemHalf(capacity)
	return &memConn{in: ba, out: ab}, &memConn{in: ab, out: ba}
}

type memConn struct {
	in, out *memHalf
}

// memHalf is one direction.
type memHalf struct {
	capacity int

	mu       sync.Mutex
	changed  sync.Cond
	buf      []byte
	readErr  error // the reader's error after buf
	writeErr error // the writer's error
	written  int   // bytes in all
}

func newMemHalf(capacity int) *memHalf {
	h := &memHalf{capacity: capacity}
	h.changed.L = &h.mu
	return h
}

func (c *memConn) Read(p []byte) (int, error) {
	h := c.in
	h.mu.Lock()
	defer h.mu.Unlock()
	for len(h.buf) == 0 && h.readErr == nil && len(p) > 0 {
		h.changed.Wait()
	}
	if len(h.buf) == 0 {
		return 0, h.readErr
	}
	n := copy(p, h.buf)
	h.buf = h.buf[n:]
	h.changed.Broadcast()
	return n, nil
}

func (c *memConn) Write(p []byte) (n int, err error) {
	h := c.out
	h.mu.Lock()
	defer h.mu.Unlock()
	for {
		if h.writeErr != nil {
			return n, h.writeErr
		}
		room := len(p) - n
		if h.capacity > 0 {
			room = min(room, h.capacity-len(h.buf))
		}
		h.buf = append(h.buf, p[n:n+room]...)
		h.written += room
		n += room
		h.changed.Broadcast()
		if n == len(p) {
			return n, nil
		}
		h.changed.Wait()
	}
}

// Close closes both directions: the other end can still read the bytes that were written.
func (c *memConn) Close() error {
	c.in.fail(net.ErrClosed, io.ErrClosedPipe)
	c.in.discard()
	c.out.fail(io.EOF, net.ErrClosed)
	return nil
}

// CloseWrite closes only the outgoing direction.
func (c *memConn) CloseWrite() error {
	c.out.fail(io.EOF, net.ErrClosed)
	return nil
}

// failWrite makes this end's writes return err.
func (c *memConn) failWrite(err error) { c.out.fail(nil, err) }

// failRead makes this end's reads return err after the bytes that arrived before.
func (c *memConn) failRead(err error) { c.in.fail(err, nil) }

// fail sets the errors that are not nil, unless they were set before.
func (h *memHalf) fail(readErr, writeErr error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.readErr == nil {
		h.readErr = readErr
	}
	if h.writeErr == nil {
		h.writeErr = writeErr
	}
	h.changed.Broadcast()
}

func (h *memHalf) discard() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.buf = nil
}

// takeAll returns the bytes that the other end has written, without waiting.
func (c *memConn) takeAll() []byte {
	h := c.in
	h.mu.Lock()
	defer h.mu.Unlock()
	b := h.buf
	h.buf = nil
	h.changed.Broadcast()
	return b
}

// ended reports whether reading is over: all bytes were read and the other end is closed.
func (c *memConn) ended() bool {
	h := c.in
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.buf) == 0 && h.readErr != nil
}

func (c *memConn) LocalAddr() net.Addr              { return nil }
func (c *memConn) RemoteAddr() net.Addr             { return nil }
func (c *memConn) SetDeadline(time.Time) error      { return nil }
func (c *memConn) SetReadDeadline(time.Time) error  { return nil }
func (c *memConn) SetWriteDeadline(time.Time) error { return nil }

// memListener hands out connections made by dial, until it is closed.
type memListener struct {
	capacity int
	conns    chan net.Conn

	once   sync.Once
	closed chan struct{} // closed by Close
}

func newMemListener(capacity int) *memListener {
	return &memListener{capacity: capacity, conns: make(chan net.Conn), closed: make(chan struct{})}
}

// dial returns the other end of an accepted connection, or nil if the listener is closed.
func (l *memListener) dial() *memConn {
	a, b := memPipe(l.capacity)
	if !l.hand(b) {
		return nil
	}
	return a
}

// hand makes the listener accept nc.
func (l *memListener) hand(nc net.Conn) bool {
	select {
	case l.conns <- nc:
		return true
	case <-l.closed:
		return false
	}
}

func (l *memListener) Accept() (net.Conn, error) {
	select {
	case nc := <-l.conns:
		return nc, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *memListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *memListener) Addr() net.Addr { return memAddr{} }

type memAddr struct{}

func (memAddr) Network() string { return "mem" }
func (memAddr) String() string  { return "memory" }

// countedConn announces each write, and waits for proceed before it makes the write.
type countedConn struct {
	net.Conn
	lengths chan<- int
	proceed <-chan struct{}
}

func (c *countedConn) Write(b []byte) (int, error) {
	c.lengths <- len(b)
	<-c.proceed
	return len(b), nil
}
