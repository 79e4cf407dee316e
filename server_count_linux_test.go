package ttrpc

import (
	"context"
	"net"
	"os"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"
)

// Each user has as many connections as the option allows, by the credentials of the socket.
// Other kinds of sockets have no credentials, and do not count for a user.
func TestMaxConnsPerUID(t *testing.T) {
	rec := newLogRecorder()
	s, addr := newTestServer(t, echoMethods(), WithServerMaxConns(0, 2), WithServerLogger(rec))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := goErr(func() error { return s.Serve(context.Background(), l) })
	var clients []*Client
	for i := 0; i < 2; i++ {
		clients = append(clients, dialTest(t, addr))
		if err := echo(testContext(t), clients[i], "x"); err != nil {
			t.Fatal(err)
		}
	}
	wantTurnedAway(t, addr)
	rec.wait(t, "refused: more than 2 connections of uid ")
	for i := 0; i < 4; i++ {
		nc, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		c := NewClient(nc)
		defer c.Close()
		if err := echo(testContext(t), c, "x"); err != nil {
			t.Errorf("over TCP: %v", err)
		}
	}
	clients[0].Close()
	waitFor(t, "room", func() bool { conns, _ := s.connCount(); return conns == 5 })
	if err := echo(testContext(t), dialTest(t, addr), "x"); err != nil {
		t.Errorf("when one has ended: %v", err)
	}
	s.Close()
	if err := within(t, "Serve", served); err != ErrServerClosed {
		t.Errorf("Serve: %v", err)
	}
	if conns, users := s.connCount(); conns != 0 || users != 0 {
		t.Errorf("%d connections and %d users are counted, there are none", conns, users)
	}
}

// The credentials that a handshaker returns take precedence over those of the socket, for
// which the connection counts during the handshake.
func TestMaxConnsPerUIDOfHandshake(t *testing.T) {
	rec := newLogRecorder()
	var uid atomic.Uint32
	handshake := make(chan struct{}, 100)
	goOn := make(chan struct{}, 100)
	s, addr := newTestServer(t, echoMethods(), WithServerMaxConns(0, 2), WithServerLogger(rec),
		WithServerHandshaker(handshakeFunc(func(_ context.Context, nc net.Conn) (net.Conn, any, error) {
			handshake <- struct{}{}
			<-goOn
			return nc, &unix.Ucred{Uid: uid.Load()}, nil
		})))
	count := func(id uint32) int {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.byUID[id]
	}
	self := uint32(os.Geteuid())
	for i := 0; i < 6; i++ { // two connections of three users
		id := self + 1 + uint32(i/2)
		uid.Store(id)
		c := dialTest(t, addr)
		within(t, "the handshake", handshake)
		if n := count(self); n != 1 {
			t.Errorf("during the handshake the socket's user has %d connections, want 1", n)
		}
		goOn <- struct{}{}
		if err := echo(testContext(t), c, "x"); err != nil {
			t.Fatal(err)
		}
		if n, own := count(id), count(self); n != 1+i%2 || own != 0 {
			t.Errorf("%d connections of the handshake's user, %d of the socket's", n, own)
		}
	}
	uid.Store(self + 1)
	goOn <- struct{}{}
	wantTurnedAway(t, addr)
	rec.wait(t, "refused: more than 2 connections of uid ")
	if n := count(self + 1); n != 2 {
		t.Errorf("%d connections count, want 2", n)
	}
	for i := 0; i < 2; i++ { // handshakes that go on count for the socket's
		dialTest(t, addr)
		within(t, "the handshake", handshake)
	}
	wantTurnedAway(t, addr)
	close(goOn)
}

// The kernel's uid for no user counts as unknown.
func TestUIDOfPeer(t *testing.T) {
	for _, test := range []struct {
		peer any
		want connUID
	}{
		{nil, connUID{}},
		{"a name", connUID{}},
		{(*unix.Ucred)(nil), connUID{}},
		{&unix.Ucred{Uid: 1<<32 - 1}, connUID{}},
		{&unix.Ucred{}, connUID{0, true}},
		{&unix.Ucred{Uid: 1000}, connUID{1000, true}},
	} {
		if got := uidOfPeer(test.peer); got != test.want {
			t.Errorf("%v: got %v, want %v", test.peer, got, test.want)
		}
	}
}
