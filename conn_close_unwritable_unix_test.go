//go:build unix

package ttrpc

import (
	"context"
	"errors"
	"io"
	"net"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// packetPair returns the two ends of a Unix socket of packets.
func packetPair(t *testing.T) (a, b net.Conn) {
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_SEQPACKET, 0)
	if err != nil {
		t.Skip(err) // not on this system
	}
	a, b = unixConn(t, fds[0]), unixConn(t, fds[1])
	t.Cleanup(func() {
		a.Close()
		b.Close()
	})
	return a, b
}

// shortWriter returns a connection whose second write omits a byte, and reports that only
// by its count.
func shortWriter(nc net.Conn) net.Conn {
	writes := 0
	return scriptedWriter{nc, func(b []byte) (int, error) {
		if writes++; writes == 2 {
			b = b[:len(b)-1]
		}
		return nc.Write(b)
	}}
}

// A call whose request cannot be written fails at once, with the reason unless the reason
// is that the peer is gone. A call that was written before gets its response, and then the
// connection ends.
func TestUnwritableRequest(t *testing.T) {
	for name, test := range map[string]struct {
		packets bool
		wrap    func(net.Conn) net.Conn
		size    int                   // of the message that cannot be written
		before  func(theirs net.Conn) // the peer's step before that
		cause   error                 // nil for ErrClosed alone
	}{
		"peer reads no more": {size: 1, before: closeRead},
		"packet too long":    {size: 3 << 20, packets: true, cause: syscall.EMSGSIZE},
		"short write":        {size: 1, wrap: shortWriter, cause: io.ErrShortWrite},
	} {
		test := test
		t.Run(name, func(t *testing.T) {
			var ours, theirs net.Conn = socketPair(t)
			if test.packets {
				ours, theirs = packetPair(t)
			}
			if test.wrap != nil {
				ours = test.wrap(ours)
			}
			c := NewClient(ours)
			defer c.Close()
			call := func(size int) <-chan error {
				return goErr(func() error {
					return c.Call(context.Background(), testService, "M", &KeyValue{Value: strings.Repeat("x", size)}, &KeyValue{})
				})
			}
			written := call(1)
			w := newWire(theirs)
			if _, err := theirs.Read(make([]byte, 1000)); err != nil {
				t.Fatal(err)
			}
			if test.before != nil {
				test.before(theirs)
			}
			start := time.Now()
			unwritten := call(test.size)
			err := within(t, "the call that cannot be written", unwritten)
			if d := time.Since(start); d > lateLimit/2 {
				t.Errorf("the call that cannot be written took %v", d)
			}
			if test.cause == nil && err != ErrClosed || !errors.Is(err, ErrClosed) || !errors.Is(err, test.cause) && test.cause != nil {
				t.Errorf("the call that cannot be written: got %v, want ErrClosed for %v", err, test.cause)
			}
			if err := call(1); !errors.Is(within(t, "a later call", err), ErrClosed) {
				t.Errorf("a later call: got %v, want ErrClosed", err)
			}
			if n := len(written); n > 0 {
				t.Errorf("the call that was written has returned %v before its answer", <-written)
			}
			start = time.Now()
			w.respond(1, &Response{})
			if err := within(t, "the call that was written", written); err != nil {
				t.Errorf("the call that was written: got %v, want its answer", err)
			}
			if err := c.UserOnCloseWait(testContext(t)); err != nil {
				t.Error(err)
			}
			if d := time.Since(start); d > lateLimit/2 {
				t.Errorf("the connection was over after %v, want at once", d)
			}
		})
	}
}

func closeRead(nc net.Conn) { nc.(*net.UnixConn).CloseRead() }

// A server whose client reads no more does not wait for the client.
func TestUnwritableConnsOfServer(t *testing.T) {
	sc, theirs := servedPair(t, echoMethods())
	w := newWire(theirs)
	theirs.CloseRead()
	start := time.Now()
	w.request(1, "Echo", 0, &KeyValue{Value: "x"})
	within(t, "the end of the connection", sc.conn.done)
	if d := time.Since(start); d > lateLimit/2 {
		t.Errorf("the connection was over after %v", d)
	}
}

// The messages that a client sent before it went away arrive even if writing a response
// fails before most of them are read, and the handler is slow to take them.
func TestUnwritableResponseThenMessages(t *testing.T) {
	for name, wrap := range map[string]func(net.Conn) net.Conn{
		"socket":  func(nc net.Conn) net.Conn { return nc },
		"wrapped": func(nc net.Conn) net.Conn { return struct{ net.Conn }{nc} },
	} {
		wrap := wrap
		t.Run(name, func(t *testing.T) { testUnwritableResponseThenMessages(t, wrap) })
	}
}

func testUnwritableResponseThenMessages(t *testing.T, wrap func(net.Conn) net.Conn) {
	const messages = 20
	received := make(chan int, 1)
	gone, failed := make(chan struct{}), make(chan struct{})
	desc := echoMethods()
	desc.Streams["Count"] = Stream{StreamingClient: true, Handler: func(_ context.Context, ss StreamServer) (any, error) {
		<-failed
		if runtime.GOOS == "linux" { // not all systems tell whether the peer has closed
			time.Sleep(lingerLimit * 3 / 2) // the handler is late
		}
		n := 0
		for ss.RecvMsg(&KeyValue{}) == nil {
			n++
		}
		received <- n
		return &KeyValue{}, nil
	}}
	desc.Methods["Late"] = func(context.Context, func(any) error) (any, error) {
		<-gone
		return &KeyValue{}, nil
	}
	sc, theirs := servedWrapped(t, wrap, desc, WithServerLimits(Limits{MaxStreamBuffer: 1}))
	w := newWire(theirs)
	w.request(1, "Count", flagRemoteOpen|flagNoData, nil)
	w.request(3, "Late", 0, nil)
	for i := 0; i < messages; i++ {
		w.data(1, 0, &KeyValue{Value: "x"})
	}
	w.Close()
	close(gone)
	waitFor(t, "the failure of the response", func() bool {
		ch := sc.conn.ch
		ch.w.mu.Lock()
		defer ch.w.mu.Unlock()
		return ch.w.err != nil
	})
	close(failed)
	if n := within(t, "the handler", received); n != messages {
		t.Errorf("%d messages arrived, of %d", n, messages)
	}
	within(t, "the end of the connection", sc.conn.done)
}
