//go:build !plan9

package ttrpc

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"strings"
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

// Frames go out in the pieces in which released versions write them.
func TestMuxWrites(t *testing.T) {
	near, far := muxPair(t, 1)
	s := newServer(t)
	s.RegisterService(testService, echoMethods())
	serveMuxConn(t, s, far.conn(1))
	c := NewClient(near.conn(1), WithClientExtensions(false)) // whose acknowledgement is a write of its own
	defer c.Close()

	envelope := &requestEnvelope{service: testService, method: "Echo"}
	for _, frame := range []int{200, 4095, 4096, 4097, 8192, 300000} {
		// Find the body with which the frame is so long.
		n := frame
		var req *KeyValue
		for length := 0; length != frame; n -= length - frame {
			req = text(strings.Repeat("x", n))
			p, err := noOptions.newPayload(req)
			if err != nil {
				t.Fatal(err)
			}
			envelope.payload = p
			length = headerLength + envelope.size()
		}
		got := near.conn(1).recordWrites(func() {
			var resp KeyValue
			// Without a deadline, which would make the request longer.
			if err := c.Call(context.Background(), testService, "Echo", req, &resp); err != nil {
				t.Fatalf("frame of %d bytes: %v", frame, err)
			}
		})
		want := []int{frame}
		if frame > 4096 {
			want = []int{4096, frame - 4096}
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("frame of %d bytes: written in %v, want %v", frame, got, want)
		}
	}
}

// Frames that wait share writes of up to 4096 bytes, which every release reads at once;
// a longer one has its writes for itself.
func TestGatheredWrites(t *testing.T) {
	near, far := memPipe(0)
	defer far.Close()
	lengths, proceed := make(chan int, 100), make(chan struct{})
	ch := newChannel(&countedConn{Conn: near, lengths: lengths, proceed: proceed}, 1<<20, 1<<20, func(error) {})
	defer ch.close()
	queue := func(lengths ...int) {
		for _, n := range lengths {
			if err := ch.w.room.take(context.Background(), nil, n); err != nil {
				t.Fatal(err)
			}
			buf := getBuffer(n)
			buf.b = buf.b[:n]
			ch.w.enqueue(buf)
		}
		ch.w.flush()
	}
	queue(100)
	if n := within(t, "a write", lengths); n != 100 {
		t.Fatalf("a write of %d bytes, want 100", n)
	}
	queue(100, 1000, 2996, 1, 5000, 1, 4095, 4096, 10)
	close(proceed)
	for _, want := range []int{4096, 1, 4096, 904, 4096, 4096, 10} {
		if n := within(t, "a write", lengths); n != want {
			t.Errorf("a write of %d bytes, want %d", n, want)
		}
	}
}

// Any end of the multiplexer ends its connections, at both ends: no call
// waits for a connection that is dead.
func TestMuxEnds(t *testing.T) {
	for _, c := range []struct {
		name  string
		cause func(near, far *testMux)
		err   error // of the far end
	}{
		{"a message that is longer than what is read", func(near, far *testMux) {
			near.conn(1).Write(make([]byte, 1<<16))
		}, syscall.ENOMEM},
		{"too many messages that nobody reads", func(near, far *testMux) {
			for i := 0; i <= muxQueue; i++ {
				near.conn(3).Write([]byte("unread"))
			}
		}, errMuxFull},
		{"the trunk is closed", func(near, far *testMux) { near.Close() }, io.EOF},
	} {
		c := c
		t.Run(c.name, func(t *testing.T) {
			near, far := muxPair(t, 1, 2, 3)
			ended := make(chan error, 2)
			var calls []chan error
			var clients []*Client
			for id, ends := range map[uint32][2]*testMux{1: {near, far}, 2: {far, near}} {
				s, err := NewServer(alwaysBusy, WithServerLogger(log.New(io.Discard, "", 0)))
				if err != nil {
					t.Fatal(err)
				}
				started := make(chan struct{})
				desc := echoMethods()
				desc.Methods["Wait"] = func(ctx context.Context, unmarshal func(any) error) (any, error) {
					close(started)
					<-ctx.Done()
					ended <- ctx.Err()
					return nil, ctx.Err()
				}
				s.RegisterService(testService, desc)
				serveMuxConn(t, s, ends[1].conn(id))
				client := NewClient(ends[0].conn(id))
				clients = append(clients, client)
				result := make(chan error, 1)
				calls = append(calls, result)
				ctx := testContext(t)
				// The first call negotiates extensions. Its frames are all read before
				// the handler of the next one starts: later nothing is on the trunk.
				if err := echo(ctx, client, "x"); err != nil {
					t.Fatal(err)
				}
				go func() { result <- client.Call(ctx, testService, "Wait", &KeyValue{}, &KeyValue{}) }()
				<-started
			}
			c.cause(near, far)
			for i, client := range clients {
				if err := <-calls[i]; err != ErrClosed {
					t.Errorf("client %d: the call got %v, want ErrClosed", i, err)
				}
				if err := client.UserOnCloseWait(testContext(t)); err != nil {
					t.Errorf("client %d does not end: %v", i, err)
				}
				if err := <-ended; err != context.Canceled {
					t.Errorf("a handler's context: got %v, want Canceled", err)
				}
			}
			if err := far.failure(); !errors.Is(err, c.err) {
				t.Errorf("the far end failed with %v, want %v", err, c.err)
			}
		})
	}
}

// A server reads on while a handler runs, also one that is known to be quick: the
// multiplexer fails once it has more messages than its queue holds.
func TestMuxIsReadDuringHandlers(t *testing.T) {
	near, far := muxPair(t, 1)
	s := newServer(t)
	started, proceed := make(chan struct{}), make(chan struct{})
	desc := echoMethods()
	desc.Methods["Wait"] = func(context.Context, func(any) error) (any, error) {
		close(started)
		<-proceed
		return &KeyValue{}, nil
	}
	s.RegisterService(testService, desc)
	makeQuick(t, s, "Wait")
	// It would have another goroutine read on before long, as on sockets, but not
	// before a peer can have filled the queue.
	s.watchdog.end()
	serveMuxConn(t, s, far.conn(1))
	c := NewClient(near.conn(1))
	defer c.Close()
	ctx := testContext(t)
	waiting := goErr(func() error { return c.Call(ctx, testService, "Wait", &KeyValue{}, &KeyValue{}) })
	within(t, "handler", started)
	for i := 0; i < 2*muxQueue; i++ { // more than the queue holds
		if err := echo(ctx, c, "x"); err != nil {
			t.Errorf("call %d beside the one that waits: %v", i, err)
			break
		}
	}
	close(proceed)
	if err := within(t, "call", waiting); err != nil {
		t.Errorf("the call that waits: %v", err)
	}
	if err := far.failure(); err != nil {
		t.Errorf("the multiplexer: %v", err)
	}
}
