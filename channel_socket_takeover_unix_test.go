//go:build unix

package ttrpc

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A connection is the library's from NewClient or the end of the handshake on, with any
// mode and deadlines that it had, and with anything that others do to it.

type filer interface{ File() (*os.File, error) }

// blockingMode puts a socket into blocking mode, as programs do unintentionally when they
// ask for a socket's options.
func blockingMode(t testing.TB, nc filer) {
	t.Helper()
	f, err := nc.File()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	f.Fd()
}

// On a socket in blocking mode, contexts and Close end the waits of a receiver and of a
// sender all the same.
func TestBlockingSocket(t *testing.T) {
	for kind, pair := range map[string]func() (net.Conn, net.Conn){
		"unix": func() (net.Conn, net.Conn) { return socketPair(t) },
		"tcp":  func() (net.Conn, net.Conn) { return tcpPair(t) },
	} {
		ours, theirs := pair()
		t.Run(kind, func(t *testing.T) {
			blockingMode(t, ours.(filer))
			c := NewClient(ours)
			for _, value := range []string{"", strings.Repeat("x", 3<<20)} {
				ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
				defer cancel()
				called := goErr(func() error { return c.Call(ctx, testService, "M", &KeyValue{Value: value}, &KeyValue{}) })
				if err := within(t, "a call", called); err != context.DeadlineExceeded {
					t.Errorf("a call of %d bytes: got %v, want DeadlineExceeded", len(value), err)
				}
			}
			newWire(theirs).write(header{id: 1, typ: messageTypeData, length: 10000}, make([]byte, 100))
			wantClosed(t, c)
		})
	}
}

// If a program puts the client's socket into blocking mode, contexts may end late, but
// Close closes the socket, whether or not the peer reads.
func TestSocketBlockedLater(t *testing.T) {
	ours, _ := socketPair(t)
	c := NewClient(ours)
	blockingMode(t, ours)
	called := goErr(func() error { // writes until that blocks
		return c.Call(context.Background(), testService, "M", &KeyValue{Value: strings.Repeat("x", 3<<20)}, &KeyValue{})
	})
	waitFor(t, "the request to be on its way", func() bool { return c.conn.ch.w.progress.Load() > 0 || tableSize(c.conn) > 0 })
	wantClosed(t, c)
	if err := within(t, "the call", called); err != ErrClosed {
		t.Errorf("the call: got %v, want ErrClosed", err)
	}
}

func wantClosed(t *testing.T, c *Client) {
	t.Helper()
	within(t, "Close", goErr(c.Close))
	if err := c.UserOnCloseWait(testContext(t)); err != nil {
		t.Error(err)
	}
	if leaked := leakedGoroutines(testTimeout); leaked != "" {
		t.Errorf("goroutines are left:\n%s", leaked)
	}
}

// A handshaker may ask for the options of the socket itself, of a socket of packets, or of
// the socket below TLS: the server can still end the connection.
func TestBlockingSocketOfHandshake(t *testing.T) {
	for kind, h := range map[string]func(net.Conn) net.Conn{
		"unix": func(nc net.Conn) net.Conn { return nc },
		"tls": func(nc net.Conn) net.Conn {
			return tls.Server(nc, &tls.Config{})
		},
		"unixpacket": func(nc net.Conn) net.Conn { return nc },
	} {
		h := h
		t.Run(kind, func(t *testing.T) {
			network := "unix"
			if kind == "unixpacket" {
				network = kind
			}
			l, err := net.Listen(network, filepath.Join(t.TempDir(), "s"))
			if err != nil {
				t.Skip(err) // no packets on this system
			}
			done := make(chan struct{})
			s := newServer(t, nil, WithServerHandshaker(handshakeFunc(func(_ context.Context, nc net.Conn) (net.Conn, any, error) {
				defer close(done)
				blockingMode(t, nc.(*net.UnixConn))
				return h(nc), nil, nil
			})))
			served := goErr(func() error { return s.Serve(context.Background(), l) })
			nc, err := net.Dial(network, l.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer nc.Close()
			<-done
			waitFor(t, "the connection to be taken over", func() bool {
				s.mu.Lock()
				defer s.mu.Unlock()
				for sc := range s.conns {
					return sc.conn != nil
				}
				return false
			})
			within(t, "Close", goErr(s.Close))
			within(t, "Serve", served)
			if leaked := leakedGoroutines(testTimeout); leaked != "" {
				t.Errorf("goroutines are left:\n%s", leaked)
			}
		})
	}
}

// Calls survive a deadline that is left on the connection, and a deadline that other code
// sets later, in the middle of a write and of a read.
func TestDeadlinesOfOthers(t *testing.T) {
	past := time.Unix(1, 0)
	for kind, pair := range map[string]func(testing.TB) (net.Conn, net.Conn){
		"unix": func(t testing.TB) (net.Conn, net.Conn) { return socketPair(t) },
		"tcp":  func(t testing.TB) (net.Conn, net.Conn) { return tcpPair(t) },
		"pipe": func(testing.TB) (net.Conn, net.Conn) { return net.Pipe() },
	} {
		pair := pair
		t.Run(kind, func(t *testing.T) {
			ours, theirs := pair(t)
			ours.SetDeadline(past)
			theirs.SetDeadline(past)
			_, stop := serveConn(t, theirs)
			defer stop()
			c := NewClient(ours)
			defer c.Close()
			if err := echo(testContext(t), c, "x"); err != nil {
				t.Fatalf("with a deadline from before: %v", err)
			}
			for i := 0; i < 20; i++ {
				ours.SetDeadline(past)
				theirs.SetDeadline(past)
				if err := echo(testContext(t), c, "x"); err != nil {
					t.Fatalf("with a deadline that passed: %v", err)
				}
				called := goErr(func() error { return echo(testContext(t), c, strings.Repeat("x", 1<<20)) })
				for n := 0; n < 5; n++ {
					ours.SetDeadline(past)
					theirs.SetDeadline(past)
					time.Sleep(100 * time.Microsecond) // to come at different bytes
				}
				if err := within(t, "a long call", called); err != nil {
					t.Fatalf("with deadlines that pass meanwhile: %v", err)
				}
			}
		})
	}
}

// timeoutForGood is a connection that cannot write after a write has timed out, like one
// with TLS.
type timeoutForGood struct {
	net.Conn
	over error
}

func (c *timeoutForGood) Write(b []byte) (n int, err error) {
	if c.over == nil {
		n, c.over = c.Conn.Write(b)
	}
	return n, c.over
}

// The library clears a deadline that was left on a connection which would not survive it.
func TestDeadlineFromBefore(t *testing.T) {
	ours, theirs := net.Pipe()
	_, stop := serveConn(t, theirs)
	defer stop()
	ours.SetDeadline(time.Unix(1, 0))
	c := NewClient(&timeoutForGood{Conn: ours})
	defer c.Close()
	if err := echo(testContext(t), c, "x"); err != nil {
		t.Error(err)
	}
}

// scriptedWriter is a connection whose writes the test controls.
type scriptedWriter struct {
	net.Conn
	write func([]byte) (int, error)
}

func (c scriptedWriter) Write(b []byte) (int, error) { return c.write(b) }

// A connection whose writes have timed out for good, like one with TLS, ends.
func TestTimeoutForGood(t *testing.T) {
	ours, theirs := net.Pipe()
	defer theirs.Close()
	c := NewClient(scriptedWriter{ours, func([]byte) (int, error) { return 0, os.ErrDeadlineExceeded }})
	defer c.Close()
	called := goErr(func() error { return echo(context.Background(), c, "x") })
	if err := within(t, "a call", called); !errors.Is(err, ErrClosed) || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("got %v, want ErrClosed for a deadline", err)
	}
}

// Another process may have a duplicate of the socket's descriptor. The peer notices Close
// all the same, after the bytes that were sent before.
func TestCloseWithDuplicate(t *testing.T) {
	for kind, pair := range map[string]func(testing.TB) (net.Conn, net.Conn){
		"unix": func(t testing.TB) (net.Conn, net.Conn) { return socketPair(t) },
		"tcp":  func(t testing.TB) (net.Conn, net.Conn) { return tcpPair(t) },
	} {
		pair := pair
		t.Run(kind, func(t *testing.T) {
			ours, theirs := pair(t)
			duplicate, err := ours.(filer).File()
			if err != nil {
				t.Fatal(err)
			}
			defer duplicate.Close()
			c := NewClient(ours)
			cs, err := c.NewStream(testContext(t), &StreamDesc{StreamingClient: true}, testService, "Join", nil)
			if err != nil {
				t.Fatal(err)
			}
			const size = 1 << 20
			if err := cs.SendMsg(&KeyValue{Value: strings.Repeat("x", size)}); err != nil {
				t.Fatal(err)
			}
			theirs.SetReadDeadline(time.Now().Add(testTimeout / 4))
			closed := goErr(c.Close)
			if n, err := io.Copy(io.Discard, theirs); err != nil || n < size {
				t.Errorf("the peer read %d bytes of more than %d, then %v", n, size, err)
			}
			within(t, "Close", closed)
			if kind == "unix" { // TCP learns of it by its answer
				if _, err := theirs.Write([]byte{0}); !isClosedError(err) {
					t.Errorf("the peer's next write: %v", err)
				}
			}
		})
	}
}
