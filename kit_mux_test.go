//go:build !plan9

package ttrpc

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// A testMux carries several connections over one trunk. It behaves like the
// multiplexer of NRI, the pickiest net.Conn that the library has to live with:
// each Write is a message of its own, a Read must have room for all of one,
// deadlines do nothing, there are no addresses, and the peer is not told when a
// connection is closed but by the end of the trunk.
type testMux struct {
	trunk net.Conn
	done  chan struct{} // closed when the goroutine that reads the trunk has ended

	writing sync.Mutex // orders messages on the trunk

	mu    sync.Mutex
	conns map[uint32]*muxConn
	err   error // why all of it is over
}

const (
	// muxQueue is how many messages wait for a reader. One more, and it is
	// all over.
	muxQueue = 256

	muxHeaderLength = 8 // connection, length
)

var (
	errMuxFull = errors.New("mux: nobody reads")
	errMuxRoom = fmt.Errorf("mux: %w", syscall.ENOMEM)
)

// muxConn is one of its connections.
type muxConn struct {
	mux *testMux
	id  uint32

	unread chan []byte   // sent by the mux's goroutine, received by Read
	once   sync.Once     // for closed
	closed chan struct{} // closed by Close, and when the mux is over

	mu     sync.Mutex
	writes []int // lengths of the last writes, if they are recorded
	record bool

	smallest atomic.Int64 // buffer that a Read was given; 0 for none
}

// newTestMux takes over trunk.
func newTestMux(trunk net.Conn, ids ...uint32) *testMux {
	m := &testMux{trunk: trunk, done: make(chan struct{}), conns: make(map[uint32]*muxConn)}
	for _, id := range ids {
		m.conns[id] = &muxConn{mux: m, id: id, unread: make(chan []byte, muxQueue), closed: make(chan struct{})}
	}
	go m.read()
	return m
}

func (m *testMux) conn(id uint32) *muxConn { return m.conns[id] }

// fail ends the trunk and every connection.
func (m *testMux) fail(err error) {
	m.mu.Lock()
	if m.err == nil {
		m.err = err
	}
	m.mu.Unlock()
	m.trunk.Close()
	for _, c := range m.conns {
		c.Close()
	}
}

// failure returns why the mux is over, nil while it is not.
func (m *testMux) failure() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.err
}

// Close ends the trunk and waits for the goroutine that reads it.
func (m *testMux) Close() {
	m.fail(net.ErrClosed)
	<-m.done
}

// read is the mux's goroutine. It ends with the trunk.
func (m *testMux) read() {
	defer close(m.done)
	var head [muxHeaderLength]byte
	for {
		if _, err := io.ReadFull(m.trunk, head[:]); err != nil {
			m.fail(err)
			return
		}
		msg := make([]byte, binary.BigEndian.Uint32(head[4:]))
		if _, err := io.ReadFull(m.trunk, msg); err != nil {
			m.fail(err)
			return
		}
		c := m.conns[binary.BigEndian.Uint32(head[:])]
		select {
		case <-c.closed:
			continue
		default:
		}
		select {
		case c.unread <- msg:
		default:
			m.fail(errMuxFull)
			return
		}
	}
}

// Read takes one message, which must fit: into the capacity of p, while it fills
// the length, and reports the length of the message.
func (c *muxConn) Read(p []byte) (int, error) {
	if least := c.smallest.Load(); least == 0 || int64(len(p)) < least {
		c.smallest.Store(int64(len(p)))
	}
	var msg []byte
	select {
	case msg = <-c.unread:
	default:
		select {
		case msg = <-c.unread:
		case <-c.closed:
			return 0, io.EOF
		}
	}
	if cap(p) < len(msg) {
		c.mux.fail(errMuxRoom)
		return 0, errMuxRoom
	}
	copy(p, msg)
	return len(msg), nil
}

// Write sends one message.
func (c *muxConn) Write(p []byte) (int, error) {
	select {
	case <-c.closed:
		return 0, io.ErrClosedPipe
	default:
	}
	c.mu.Lock()
	if c.record {
		c.writes = append(c.writes, len(p))
	}
	c.mu.Unlock()
	head := binary.BigEndian.AppendUint32(nil, c.id)
	head = binary.BigEndian.AppendUint32(head, uint32(len(p)))
	buffers := net.Buffers{head, p}
	c.mux.writing.Lock()
	defer c.mux.writing.Unlock()
	if _, err := buffers.WriteTo(c.mux.trunk); err != nil {
		c.mux.fail(err)
		return 0, err
	}
	return len(p), nil
}

// Close closes this end alone, which the other does not see.
func (c *muxConn) Close() error {
	c.once.Do(func() { close(c.closed) })
	return nil
}

// recordWrites returns the lengths of the writes while f runs.
func (c *muxConn) recordWrites(f func()) []int {
	set := func(on bool) []int {
		c.mu.Lock()
		defer c.mu.Unlock()
		writes := c.writes
		c.writes, c.record = nil, on
		return writes
	}
	set(true)
	f()
	return set(false)
}

func (c *muxConn) LocalAddr() net.Addr              { return nil }
func (c *muxConn) RemoteAddr() net.Addr             { return nil }
func (c *muxConn) SetDeadline(time.Time) error      { return nil }
func (c *muxConn) SetReadDeadline(time.Time) error  { return nil }
func (c *muxConn) SetWriteDeadline(time.Time) error { return nil }

// muxPair returns the two ends of a trunk over a unix socket, closed at the end
// of the test at the latest.
func muxPair(t testing.TB, ids ...uint32) (a, b *testMux) {
	t.Helper()
	trunkA, trunkB := socketPair(t)
	a, b = newTestMux(trunkA, ids...), newTestMux(trunkB, ids...)
	t.Cleanup(func() {
		a.Close()
		b.Close()
	})
	return a, b
}

// muxConns returns two connections over one trunk, each with its client's end first: the
// client of one is beside the server of the other. At the end of the test the multiplexer
// must not have failed, and each read of its connections must have had room.
func muxConns(t testing.TB) (there, back [2]net.Conn) {
	t.Helper()
	near, far := muxPair(t, 1, 2)
	t.Cleanup(func() {
		for _, m := range []*testMux{near, far} {
			if err := m.failure(); err != nil {
				t.Errorf("the multiplexer failed: %v", err)
			}
			for _, mc := range m.conns {
				if least := mc.smallest.Load(); least != 0 && least < minReadLength {
					t.Errorf("connection %d was read with %d bytes of room", mc.id, least)
				}
			}
		}
	})
	return [2]net.Conn{near.conn(1), far.conn(1)}, [2]net.Conn{far.conn(2), near.conn(2)}
}

// serveMuxConn serves a connection of a multiplexer until the end of the test.
func serveMuxConn(t testing.TB, s *Server, mc *muxConn) {
	t.Helper()
	served := goErr(func() error { return s.ServeConn(context.Background(), mc) })
	t.Cleanup(func() {
		s.Close()
		within(t, "ServeConn", served) // its error is that of the first end
	})
}
