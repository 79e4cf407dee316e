//go:build unix

package ttrpc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// bufferedConn is a kernel socket whose buffers can be made small.
type bufferedConn interface {
	net.Conn
	SetReadBuffer(int) error
	SetWriteBuffer(int) error
}

// tinySockets returns connected sockets of both kinds, with the smallest buffers
// that the kernel allows.
func tinySockets(t *testing.T) map[string][2]bufferedConn {
	t.Helper()
	a, b := socketPair(t)
	x, y := tcpPair(t)
	pairs := map[string][2]bufferedConn{"unix": {a, b}, "tcp": {x, y}}
	for kind, pair := range pairs {
		for _, nc := range pair {
			err := nc.SetWriteBuffer(1)
			if kind == "unix" { // TCP waits 200 ms and more for a window that is too small
				err = errors.Join(err, nc.SetReadBuffer(1))
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	return pairs
}

// serveConn serves one connection, until stop.
func serveConn(t *testing.T, nc net.Conn) (s *Server, stop func()) {
	t.Helper()
	s, l := newServer(t, echoMethods(), usuallyBusy), newMemListener(0)
	stop = serve(t, context.Background(), s, l)
	l.hand(nc)
	return s, stop
}

// Sockets accept only a few hundred bytes at once: every frame is written in many pieces,
// in both directions at the same time.
func TestTinySockets(t *testing.T) {
	for kind, pair := range tinySockets(t) {
		pair := pair
		t.Run(kind, func(t *testing.T) {
			keepLedger(t, func() {
				_, stop := serveConn(t, pair[1])
				c := NewClient(pair[0])
				ctx := testContext(t)
				var wg sync.WaitGroup
				for i := 0; i < 20; i++ {
					i := i
					wg.Add(1)
					go func() {
						defer wg.Done()
						for j := 0; j < 5; j++ {
							if err := echo(ctx, c, strings.Repeat(fmt.Sprint(i), i*i*j*5)); err != nil {
								t.Error(err)
							}
						}
						if i%4 == 0 {
							tinyStream(t, ctx, c)
						}
					}()
				}
				wg.Wait()
				wantNoStreams(t, c)
				c.Close()
				stop()
				if leaked := leakedGoroutines(testTimeout); leaked != "" {
					t.Errorf("goroutines are left:\n%s", leaked)
				}
			})
		})
	}
}

func tinyStream(t *testing.T, ctx context.Context, c *Client) {
	cs, err := c.NewStream(ctx, &StreamDesc{StreamingClient: true, StreamingServer: true}, testService, "EchoStream", nil)
	if err != nil {
		t.Error(err)
		return
	}
	want := strings.Repeat("stream", 3000)
	for i := 0; i < 5; i++ {
		var m KeyValue
		if err := errors.Join(cs.SendMsg(&KeyValue{Value: want}), cs.RecvMsg(&m)); err != nil || m.Value != want {
			t.Errorf("a stream: %d bytes, %v", len(m.Value), err)
		}
	}
	if err := cs.CloseSend(); err != nil {
		t.Error(err)
	}
	if err := cs.RecvMsg(&KeyValue{}); err != io.EOF {
		t.Errorf("the end of a stream: %v", err)
	}
}

// If the kernel accepts part of a frame, neither its caller nor any other caller waits, and
// the rest of the frame follows when the peer reads.
func TestSocketFullInMidFrame(t *testing.T) {
	for kind, pair := range tinySockets(t) {
		pair := pair
		t.Run(kind, func(t *testing.T) {
			c := NewClient(pair[0])
			defer c.Close()
			long := strings.Repeat("0123456789abcdef", 1<<14)
			result := make(chan error, 1)
			var resp KeyValue
			go func() {
				result <- c.Call(testContext(t), testService, "Echo", &KeyValue{Value: long}, &resp)
			}()
			h := make([]byte, headerLength)
			if _, err := io.ReadFull(pair[1], h); err != nil {
				t.Fatal(err)
			}
			// The first frame has begun, and cannot be over.
			ctx, cancel := context.WithCancel(context.Background())
			others := make(chan error, 10)
			for i := 0; i < cap(others); i++ {
				go func() { others <- c.Call(ctx, testService, "Echo", &KeyValue{Value: long}, &KeyValue{}) }()
			}
			cancel()
			for i := 0; i < cap(others); i++ {
				if err := <-others; err != context.Canceled {
					t.Errorf("a caller behind the frame: got %v, want Canceled", err)
				}
			}
			body := make([]byte, parseHeader(h).length)
			if _, err := io.ReadFull(pair[1], body); err != nil {
				t.Fatal(err)
			}
			var req requestView
			if err := req.parse(body, 0); err != nil || !bytes.Contains(req.payload, []byte(long)) {
				t.Errorf("the frame that was written in pieces: %v", err)
			}
			go io.Copy(io.Discard, pair[1]) // frames that the others had queued
			frame := make([]byte, headerLength)
			b := []byte{1<<3 | 2, 0}
			putHeader(frame, header{length: uint32(len(b)), id: parseHeader(h).id, typ: messageTypeResponse})
			if _, err := pair[1].Write(append(frame, b...)); err != nil {
				t.Fatal(err)
			}
			if err := <-result; err != nil {
				t.Errorf("the call: %v", err)
			}
			pair[1].Close()
		})
	}
}

// Either end resets a TCP connection in the middle of calls.
func TestSocketReset(t *testing.T) {
	a, b := tcpPair(t)
	c := NewClient(a)
	result := make(chan error, 1)
	go func() { result <- c.Call(testContext(t), testService, "Block", &KeyValue{}, &KeyValue{}) }()
	if _, err := io.ReadFull(b, make([]byte, headerLength)); err != nil {
		t.Fatal(err)
	}
	b.SetLinger(0)
	b.Close() // with bytes unread, and so by a reset
	if err := <-result; err != ErrClosed {
		t.Errorf("the client: got %v, want ErrClosed", err)
	}
	if err := c.UserOnCloseWait(testContext(t)); err != nil {
		t.Error(err)
	}

	a, b = tcpPair(t)
	s, stop := serveConn(t, b)
	defer stop()
	c = NewClient(a)
	go func() { result <- c.Call(testContext(t), testService, "Block", &KeyValue{}, &KeyValue{}) }()
	if err := echo(testContext(t), c, "x"); err != nil {
		t.Fatal(err)
	}
	a.SetLinger(0)
	a.Close()
	if err := <-result; err != ErrClosed {
		t.Errorf("the client: got %v, want ErrClosed", err)
	}
	if err := s.Shutdown(testContext(t)); err != nil { // returns when the connection is gone
		t.Errorf("Shutdown: %v", err)
	}
}

// listenerFunc is a listener whose Accept is a function.
type listenerFunc struct {
	net.Listener
	accept func() (net.Conn, error)
}

func (l listenerFunc) Accept() (net.Conn, error) { return l.accept() }

// Serve waits after a temporary error of Accept; any other error ends Serve.
func TestAcceptErrors(t *testing.T) {
	odd := errors.New("odd")
	for _, passing := range []error{
		syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.ECONNABORTED,
		&net.OpError{Op: "accept", Err: os.NewSyscallError("accept4", syscall.EMFILE)},
	} {
		s, err := NewServer(WithServerLogger(discardLogger{}))
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		l := &listenerFunc{newMemListener(0), func() (net.Conn, error) {
			if n++; n < 3 {
				return nil, passing
			}
			return nil, odd
		}}
		if err := s.Serve(context.Background(), l); err != odd || n != 3 {
			t.Errorf("%v: Serve returned %v after %d errors, want %v after 3", passing, err, n, odd)
		}
	}
}

const childDescriptors = "TTRPC_TEST_CHILD_DESCRIPTORS"

// TestDescriptorsChild runs in a child process, which runs out of file descriptors.
func TestDescriptorsChild(t *testing.T) {
	if os.Getenv(childDescriptors) == "" {
		t.Skip("this is what TestAcceptWithoutDescriptors starts")
	}
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	limit.Cur = 40
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	failed := make(chan string, 100)
	s, err := NewServer(WithServerLogger(logFunc(func(line string) {
		select {
		case failed <- line:
		default:
		}
	})))
	if err != nil {
		t.Fatal(err)
	}
	s.RegisterService(testService, echoMethods())
	var listeners []net.Listener
	served := make(chan error, 2)
	for i := 0; i < cap(served); i++ {
		l, err := net.Listen("unix", socketPath(t))
		if err != nil {
			t.Fatal(err)
		}
		listeners = append(listeners, l)
		go func() { served <- s.Serve(context.Background(), l) }()
	}
	first, err := net.Dial("unix", listeners[0].Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	c := NewClient(first)
	if err := echo(testContext(t), c, "before"); err != nil {
		t.Fatal(err)
	}

	// Take all descriptors. The sockets of the next clients are there already.
	waiting := make([]int, len(listeners))
	for i := range waiting {
		if waiting[i], err = syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM, 0); err != nil {
			t.Fatal(err)
		}
	}
	var taken []*os.File
	for {
		f, err := os.Open(os.DevNull)
		if err != nil {
			break
		}
		taken = append(taken, f)
	}
	for i, l := range listeners {
		if err := syscall.Connect(waiting[i], &syscall.SockaddrUnix{Name: l.Addr().String()}); err != nil {
			t.Fatal(err)
		}
	}
	for range listeners {
		if line := <-failed; !strings.Contains(line, "accept failed") {
			t.Errorf("the log says %q", line)
		}
	}
	if err := echo(testContext(t), c, "meanwhile"); err != nil {
		t.Errorf("a connection that is there: %v", err)
	}
	for _, f := range taken {
		f.Close()
	}
	for _, fd := range waiting {
		c := NewClient(unixConn(t, fd))
		if err := echo(testContext(t), c, "after"); err != nil {
			t.Errorf("a connection that waited: %v", err)
		}
		c.Close()
	}
	c.Close()
	s.Close()
	for range listeners {
		if err := <-served; err != ErrServerClosed {
			t.Errorf("Serve: got %v", err)
		}
	}
}

// logFunc is a Logger.
type logFunc func(line string)

func (f logFunc) Printf(format string, args ...any) { f(fmt.Sprintf(format, args...)) }

// A server without free file descriptors waits for one, on each of its listeners.
func TestAcceptWithoutDescriptors(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), testTimeout+10*time.Second)
	defer cancel()
	cmd := childTest(ctx, "TestDescriptorsChild", "-test.v")
	cmd.Env = append(os.Environ(), childDescriptors+"=1")
	out, err := cmd.CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte("--- PASS: TestDescriptorsChild")) {
		t.Errorf("%v\n%s", err, out)
	}
}
