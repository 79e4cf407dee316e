package proxy

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand"
	"net"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/containerd/ttrpc/internal/frame"
)

// testTimeout ends a test that hangs.
const testTimeout = 20 * time.Second

// A rig is a proxy between a client and a server, which the test both plays.
type rig struct {
	client, server net.Conn
	tap            *Queue
}

// newRig makes one over unix sockets or TCP. wrap, if not nil, wraps the proxy's ends.
func newRig(t testing.TB, network string, wrap func(dir Direction, c net.Conn) net.Conn) *rig {
	t.Helper()
	if wrap == nil {
		wrap = func(_ Direction, c net.Conn) net.Conn { return c }
	}
	front, back := listen(t, network), listen(t, network)
	p := &Proxy{Tap: NewQueue(), Dial: func(ctx context.Context) (net.Conn, error) {
		c, err := dial(ctx, back)
		if err != nil {
			return nil, err
		}
		return wrap(ToServer, c), nil
	}}
	served := make(chan error, 1)
	go func() { served <- p.Serve(context.Background(), wrapListener{front, wrap}) }()
	t.Cleanup(func() {
		front.Close()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	client, err := dial(context.Background(), front)
	if err != nil {
		t.Fatal(err)
	}
	server, err := back.Accept()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []net.Conn{client, server} {
		c.SetDeadline(time.Now().Add(testTimeout))
		t.Cleanup(func() { c.Close() })
	}
	return &rig{client, server, p.Tap}
}

type wrapListener struct {
	net.Listener
	wrap func(dir Direction, c net.Conn) net.Conn
}

func (l wrapListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return l.wrap(ToClient, c), nil
}

func listen(t testing.TB, network string) net.Listener {
	t.Helper()
	addr := "127.0.0.1:0"
	if network == "unix" {
		addr = filepath.Join(t.TempDir(), "s")
	}
	l, err := net.Listen(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func dial(ctx context.Context, l net.Listener) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, l.Addr().Network(), l.Addr().String())
}

func send(t *testing.T, c net.Conn, s string) {
	t.Helper()
	if _, err := io.WriteString(c, s); err != nil {
		t.Fatal(err)
	}
}

func want(t *testing.T, c net.Conn, s string) {
	t.Helper()
	got := make([]byte, len(s))
	if _, err := io.ReadFull(c, got); err != nil || string(got) != s {
		t.Fatalf("got %q, %v, want %q", got, err, s)
	}
}

func wantEnd(t *testing.T, c net.Conn) {
	t.Helper()
	if n, err := c.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Fatalf("got %d bytes, %v, want the end", n, err)
	}
}

// The end of one direction is passed on, and the other one goes on.
func TestHalfClose(t *testing.T) {
	for _, network := range []string{"unix", "tcp"} {
		t.Run(network, func(t *testing.T) {
			r := newRig(t, network, nil)
			send(t, r.client, "a question")
			r.client.(interface{ CloseWrite() error }).CloseWrite()
			want(t, r.server, "a question")
			wantEnd(t, r.server)
			send(t, r.server, "a late answer")
			want(t, r.client, "a late answer")
			r.server.Close()
			wantEnd(t, r.client)
		})
	}
}

// A reset is passed on as a reset, in both directions.
func TestReset(t *testing.T) {
	for _, from := range []string{"client", "server"} {
		t.Run(from, func(t *testing.T) {
			r := newRig(t, "tcp", nil)
			send(t, r.client, "x")
			want(t, r.server, "x")
			resetter, other := r.client, r.server
			if from == "server" {
				resetter, other = other, resetter
			}
			resetter.(*net.TCPConn).SetLinger(0)
			resetter.Close()
			if _, err := other.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("got %v, want a reset", err)
			}
		})
	}
}

// A unix socket whose end was closed with unread bytes is a reset, too: it arrives as one
// if the other end has sent bytes that were not read.
func TestResetUnix(t *testing.T) {
	r := newRig(t, "unix", nil)
	send(t, r.client, "never read")
	r.server.SetReadDeadline(time.Now().Add(testTimeout))
	want(t, r.server, "never")
	r.server.Close()
	if _, err := r.client.Read(make([]byte, 1)); err == nil {
		t.Error("the client reads on")
	}
}

// A receiver that takes no more makes the sender's writes fail, and can still send.
func TestReceiverGone(t *testing.T) {
	r := newRig(t, "unix", nil)
	r.server.(*net.UnixConn).CloseRead()
	for {
		if _, err := r.client.Write([]byte("more")); err != nil {
			if !errors.Is(err, syscall.EPIPE) {
				t.Errorf("got %v, want EPIPE", err)
			}
			break
		}
	}
	send(t, r.server, "goodbye")
	want(t, r.client, "goodbye")
}

// No server is there: the client sees the end, and the queue says why.
func TestNoServer(t *testing.T) {
	front := listen(t, "unix")
	p := &Proxy{Tap: NewQueue(), Dial: func(context.Context) (net.Conn, error) { return nil, errors.New("nobody") }}
	go p.Serve(context.Background(), front)
	client, err := dial(context.Background(), front)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	wantEnd(t, client)
	<-p.Tap.C()
	if items, _, _ := p.Tap.Take(); len(items) != 1 || items[0].Kind != Trouble || items[0].Text != "nobody" {
		t.Errorf("got %+v", items)
	}
}

func testFrame(n int) []byte {
	b := make([]byte, frame.HeaderLength+n)
	frame.Header{Length: uint32(n), ID: 1, Type: frame.TypeData}.Put(b)
	return b
}

// Nobody takes copies: everything passes all the same, memory is bounded, and the copies go
// on at the beginning of a frame.
func TestFullQueue(t *testing.T) {
	r := newRig(t, "unix", nil)
	one := testFrame(100<<10 + 1)
	const frames = 400
	var wg sync.WaitGroup
	wg.Add(1)
	go func() {
		defer wg.Done()
		for range frames {
			r.client.Write(one)
		}
	}()
	got := make([]byte, len(one))
	for range frames {
		if _, err := io.ReadFull(r.server, got); err != nil || !bytes.Equal(got, one) {
			t.Fatalf("a frame has changed: %v", err)
		}
	}
	wg.Wait()
	items, _, _ := r.tap.Take()
	total, gap := 0, 0
	for _, it := range items {
		total, gap = total+len(it.Bytes), gap+it.Lost
	}
	if total > maxQueued || total < maxQueued/2 {
		t.Errorf("%d bytes were queued, of at most %d", total, maxQueued)
	}
	send(t, r.client, string(one)+string(testFrame(3)))
	want(t, r.server, string(one)+string(testFrame(3)))
	r.client.Close()
	wantEnd(t, r.server)
	var rest []byte
	for len(rest) < len(one)+len(testFrame(3)) {
		<-r.tap.C()
		items, _, _ := r.tap.Take()
		for _, it := range items {
			if it.Kind == Gap {
				gap += it.Lost
			}
			rest = append(rest, it.Bytes...)
		}
	}
	if !bytes.Equal(rest, append(one, testFrame(3)...)) || gap+total != frames*len(one) {
		t.Errorf("after the gap there are %d bytes, and %d of %d are accounted for", len(rest), gap+total, frames*len(one))
	}
}

// Copies are in the order in which bytes pass: a request before its response.
func TestOrder(t *testing.T) {
	r := newRig(t, "unix", nil)
	const rounds = 200
	go func() {
		b := make([]byte, 1)
		for range rounds {
			io.ReadFull(r.server, b)
			r.server.Write(b)
		}
	}()
	for range rounds {
		send(t, r.client, "q")
		want(t, r.client, "q")
	}
	var dirs []Direction
	for len(dirs) < 2*rounds {
		items, _, _ := r.tap.Take()
		for _, it := range items {
			if it.Kind == Bytes {
				dirs = append(dirs, it.Dir)
			}
		}
	}
	for i, dir := range dirs {
		if dir != Direction(i%2) {
			t.Fatalf("item %d is %v", i, dir)
		}
	}
}

// edges finds the beginnings of frames, however the bytes are cut.
func TestEdges(t *testing.T) {
	rng := rand.New(rand.NewSource(1))
	for range 500 {
		var all []byte
		begins := map[int]bool{}
		for range rng.Intn(8) {
			begins[len(all)] = true
			all = append(all, testFrame(rng.Intn(30))...)
		}
		var e edges
		for at := 0; at < len(all); {
			n := 1 + rng.Intn(min(40, len(all)-at))
			want := -1
			for i := at; i < at+n; i++ {
				if begins[i] {
					want = i - at
					break
				}
			}
			if got := e.next(all[at : at+n]); got != want {
				t.Fatalf("bytes %d to %d of %x: a frame begins at %d, want %d", at, at+n, all, got, want)
			}
			at += n
		}
	}
	var e edges
	if got := e.next([]byte("\x01234567890123456789")); got != 0 || !e.lost {
		t.Errorf("got %d, %+v", got, e)
	}
	if got := e.next(testFrame(1)); got != -1 {
		t.Errorf("after bytes that are no frames one begins at %d", got)
	}
}
