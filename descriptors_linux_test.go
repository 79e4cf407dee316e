package ttrpc

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// lingerTime is how long the kernel waits in the close of a descriptor that a test
// passes, and lingerBound the most that anything of ours may take meanwhile.
const (
	lingerTime  = 30 * time.Second
	lingerBound = 3 * time.Second
)

// takesDescriptors makes a server or a client behave as on a kernel that cannot refuse
// descriptors.
func takesDescriptors(c *serverConfig) error {
	c.conn.passing = true
	return nil
}

func clientTakesDescriptors(c *Client) { c.cfg.conn.passing = true }

// needPassRights skips a test if the kernel cannot refuse descriptors.
func needPassRights(t *testing.T) {
	t.Helper()
	ours, _ := socketPair(t)
	if setPassRights(ours) {
		return
	}
	var name unix.Utsname
	unix.Uname(&name)
	t.Skipf("Linux %s does not know SO_PASSRIGHTS, which came with 6.16", unix.ByteSliceToString(name.Release[:]))
}

// pass writes b to nc and passes a TCP socket along with it. The close of that socket waits
// for lingerTime, or until the test ends.
func pass(t *testing.T, nc *net.UnixConn, b []byte) error {
	t.Helper()
	tcp, far := tcpPair(t)
	tcp.SetLinger(int(lingerTime / time.Second))
	tcp.SetWriteBuffer(1)
	far.SetReadBuffer(1)
	tcp.SetWriteDeadline(time.Now().Add(20 * time.Millisecond))
	if _, err := tcp.Write(make([]byte, 1<<20)); err == nil {
		t.Fatal("the peer of the TCP connection, which reads nothing, has taken everything")
	}
	defer tcp.Close()
	t.Cleanup(func() { far.Close() }) // ends the waiting
	f, err := tcp.File()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, _, err = nc.WriteMsgUnix(b, syscall.UnixRights(int(f.Fd())), nil); err != nil {
		far.Close() // or else it is ours to wait
	}
	return err
}

// wantQuick checks that f returns while a descriptor lingers.
func wantQuick(t *testing.T, what string, f func()) {
	t.Helper()
	start := time.Now()
	f()
	if d := time.Since(start); d > lingerBound {
		t.Errorf("%s took %v", what, d)
	}
}

// A server and a client make the kernel refuse descriptors. A server does so before it
// accepts the connection.
func TestPassedDescriptorsRefused(t *testing.T) {
	needPassRights(t)
	handshakes, proceed := make(chan struct{}, 2), make(chan struct{})
	_, addr := newTestServer(t, echoMethods(), WithServerHandshaker(UnixCredentialsFunc(func(*unix.Ucred) error {
		handshakes <- struct{}{}
		<-proceed
		return nil
	})))
	defer close(proceed)
	first := dialRaw(t, addr)
	within(t, "a handshake", handshakes) // Serve accepts
	defer first.Close()
	if err := pass(t, dialRaw(t, addr).(*net.UnixConn), []byte("x")); !errors.Is(err, syscall.EPERM) {
		t.Errorf("to a server in its handshake: got %v, want EPERM", err)
	}

	ours, theirs := socketPair(t)
	c := NewClient(ours)
	defer c.Close()
	if err := pass(t, theirs, []byte("x")); !errors.Is(err, syscall.EPERM) {
		t.Errorf("to a client: got %v, want EPERM", err)
	}
	sc, theirs := servedPair(t, echoMethods())
	if err := pass(t, theirs, []byte("x")); !errors.Is(err, syscall.EPERM) {
		t.Errorf("to a server: got %v, want EPERM", err)
	}
	if _, err := tableOf(sc.conn); err != nil {
		t.Errorf("the connection to the server has ended: %v", err)
	}
}

// A user's own handshaker may take descriptors.
func TestHandshakerTakesDescriptors(t *testing.T) {
	took := make(chan error, 1)
	_, addr := newTestServer(t, echoMethods(), WithServerHandshaker(handshakeFunc(
		func(_ context.Context, nc net.Conn) (net.Conn, any, error) {
			control := make([]byte, 100)
			_, n, _, _, err := nc.(*net.UnixConn).ReadMsgUnix(make([]byte, 1), control)
			passed := passedDescriptors(control[:n])
			if err == nil && len(passed) != 1 {
				err = fmt.Errorf("%d descriptors arrived", len(passed))
			}
			closePassed(passed)
			took <- err
			return nc, nil, err
		})))
	nc := dialRaw(t, addr).(*net.UnixConn)
	if err := pass(t, nc, []byte("x")); err != nil {
		t.Fatal(err)
	}
	if err := within(t, "the handshake", took); err != nil {
		t.Error(err)
	}
	c := NewClient(nc)
	defer c.Close()
	if err := echo(testContext(t), c, "x"); err != nil {
		t.Error(err)
	}
}

// If the kernel cannot refuse a descriptor whose close waits, the descriptor holds up no
// caller, not even the leader that reads it.
func TestLingeringDescriptorClient(t *testing.T) {
	ours, theirs := socketPair(t)
	c := NewClient(ours, clientTakesDescriptors)
	w := newWire(theirs)
	id := streamID(1)
	var called <-chan error
	waitFor(t, "a leader", func() bool {
		called = goErr(func() error {
			ctx, cancel := context.WithTimeout(context.Background(), lingerBound/3)
			defer cancel()
			return c.Call(ctx, testService, "M", &KeyValue{}, &KeyValue{})
		})
		w.read()
		c.conn.mu.Lock()
		leads := c.reader.turn.holder == heldByLeader
		c.conn.mu.Unlock()
		if !leads {
			w.respond(id, &Response{})
			within(t, "a call", called)
			id += 2
		}
		return leads
	})
	if err := pass(t, theirs, []byte("x")); err != nil {
		t.Fatal(err)
	}
	wantQuick(t, "the call", func() {
		if err := within(t, "the call", called); !errors.Is(err, ErrClosed) || !errors.Is(err, ErrProtocol) {
			t.Errorf("the call: got %v, want ErrClosed and ErrProtocol", err)
		}
	})
	wantQuick(t, "Close", func() { c.Close() })
}

// Such a descriptor does not hold up a server either, whether it is read or left in the
// socket.
func TestLingeringDescriptorServer(t *testing.T) {
	for name, opt := range map[string]ServerOpt{"old kernel": takesDescriptors, "this kernel": WithServerMaxCalls(1)} {
		opt := opt
		t.Run(name, func(t *testing.T) {
			log := newLogRecorder()
			s := newServer(t, nil, opt, WithServerLogger(log))
			ours, theirs := socketPair(t)
			for i := 0; i < 2; i++ { // the first is read, and ends the connection; the other is left
				if err := pass(t, theirs, []byte("x")); err != nil {
					t.Fatal(err)
				}
			}
			start := time.Now()
			s.startConn(s.newServing(context.Background()), ours)
			waitFor(t, "the end of the connection", func() bool {
				s.mu.Lock()
				defer s.mu.Unlock()
				return len(s.conns) == 0
			})
			if d := time.Since(start); d > lingerBound {
				t.Errorf("the end of the connection took %v", d)
			}
			log.wait(t, "the peer passed descriptors")
		})
	}
}

// Close and Shutdown wait at most a tenth of a second for the close of connections, however
// many peers have passed descriptors.
func TestLingeringDescriptorsShutdown(t *testing.T) {
	for name, stop := range map[string]func(*Server) error{
		"Close":    (*Server).Close,
		"Shutdown": func(s *Server) error { return s.Shutdown(context.Background()) },
	} {
		stop := stop
		t.Run(name, func(t *testing.T) {
			const conns = 20
			waiting := make(chan struct{}, conns)
			s := newServer(t, nil, takesDescriptors, WithServerLogger(newLogRecorder()), WithServerHandshaker(handshakeFunc(
				func(ctx context.Context, nc net.Conn) (net.Conn, any, error) { // leaves everything in the socket
					waiting <- struct{}{}
					<-ctx.Done()
					return nc, nil, nil
				})))
			l, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
			if err != nil {
				t.Fatal(err)
			}
			served := goErr(func() error { return s.Serve(context.Background(), l) })
			for i := 0; i < conns; i++ {
				if err := pass(t, dialRaw(t, l.Addr().String()).(*net.UnixConn), []byte("x")); err != nil {
					t.Fatal(err)
				}
				within(t, "a handshake", waiting)
			}
			start := time.Now()
			if err := within(t, name, goErr(func() error { return stop(s) })); err != nil {
				t.Error(err)
			}
			if err := within(t, "Serve", served); err != ErrServerClosed {
				t.Errorf("Serve: got %v", err)
			}
			if d := time.Since(start); d > lingerBound {
				t.Errorf("%s took %v", name, d)
			}
		})
	}
}

// threads returns the number of threads of the process.
func threads(t *testing.T) (n int) {
	t.Helper()
	_, rest, _ := strings.Cut(readFile(t, "/proc/self/status"), "\nThreads:")
	if _, err := fmt.Sscan(rest, &n); err != nil {
		t.Fatal(err)
	}
	return n
}

// Connections whose peers pass such descriptors hold no threads.
func TestLingeringDescriptorThreads(t *testing.T) {
	const conns = 40
	s := newServer(t, nil, takesDescriptors, WithServerLogger(newLogRecorder()))
	before := threads(t)
	for i := 0; i < conns; i++ {
		ours, theirs := socketPair(t)
		if err := pass(t, theirs, []byte("x")); err != nil {
			t.Fatal(err)
		}
		s.startConn(s.newServing(context.Background()), ours)
	}
	waitFor(t, "the end of the connections", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return len(s.conns) == 0
	})
	if n := threads(t) - before; n > conns/2 { // the runtime keeps a few
		t.Errorf("%d threads for %d connections", n, conns)
	}
}

// On a kernel that cannot refuse descriptors, a call allocates no more than elsewhere.
func TestTakingDescriptorsAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	_, addr := newTestServer(t, echoMethods(), takesDescriptors)
	wantCallAllocations(t, dialTest(t, addr, clientTakesDescriptors), callAllocations)
}

// A connection to a listener that refuses descriptors, and a client whose socket is empty
// when the kernel begins to refuse them, are read as any other from the beginning.
func TestRefusedDescriptorsReadPlainly(t *testing.T) {
	needPassRights(t)
	l := listen(t)
	newServer(t, nil).refuseDescriptors(l)
	client := newConn(dialRaw(t, l.Addr().String()), &Client{}, defaultConnConfig)
	if sk := client.ch.sock; !sk.refuses || sk.passing {
		t.Errorf("client: refuses %v, passing %v, want true and false", sk.refuses, sk.passing)
	}
	if _, err := client.ch.conn.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	nc, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	server := newConn(nc, &serverConn{}, defaultConnConfig)
	if sk := server.ch.sock; !sk.refuses || sk.passing {
		t.Errorf("server: refuses %v, passing %v, want true and false", sk.refuses, sk.passing)
	}
}
