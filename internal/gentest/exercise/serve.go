// Package exercise calls generated code over a pipe, on behalf of the tests of
// the generators.
package exercise

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"

	"github.com/containerd/ttrpc"
)

// Connect serves the services that register registers, and returns a client of it. They talk
// over a net.Pipe until the test ends.
func Connect(t *testing.T, register func(*ttrpc.Server)) *ttrpc.Client {
	t.Helper()
	srv, err := ttrpc.NewServer()
	if err != nil {
		t.Fatal(err)
	}
	register(srv)
	listener := newPipeListener()
	served := make(chan error, 1)
	go func() { served <- srv.Serve(context.Background(), listener) }()

	client := ttrpc.NewClient(listener.dial())
	t.Cleanup(func() {
		client.Close()
		srv.Close()
		if err := <-served; !errors.Is(err, ttrpc.ErrServerClosed) {
			t.Errorf("Serve returned %v, want ErrServerClosed", err)
		}
	})
	return client
}

// pipeListener accepts the server's ends of the pipes that dial makes.
type pipeListener struct {
	conns  chan net.Conn // sent by dial, received by Accept
	closed chan struct{} // closed by Close
}

func newPipeListener() *pipeListener {
	return &pipeListener{conns: make(chan net.Conn, 1), closed: make(chan struct{})}
}

func (l *pipeListener) dial() net.Conn {
	client, server := net.Pipe()
	l.conns <- server
	return client
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case conn := <-l.conns:
		return conn, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error {
	select {
	case <-l.closed:
	default:
		close(l.closed)
	}
	return nil
}

func (l *pipeListener) Addr() net.Addr { return pipeAddr{} }

type pipeAddr struct{}

func (pipeAddr) Network() string { return "pipe" }
func (pipeAddr) String() string  { return "pipe" }

// streamed is how many messages each side of a stream sends in the tests.
const streamed = 3

// The services of the tests send back the messages that they receive, in the way
// that the kind of the method allows.

// Watch sends m on a stream.
func Watch[M any](m M, s interface{ Send(M) error }) error {
	for i := 0; i < streamed; i++ {
		if err := s.Send(m); err != nil {
			return err
		}
	}
	return nil
}

// Upload returns the last message of a stream.
func Upload[M any](s interface{ Recv() (M, error) }) (M, error) {
	var last M
	for i := 0; ; i++ {
		m, err := s.Recv()
		if errors.Is(err, io.EOF) {
			if i != streamed {
				return last, errors.New("messages are missing from the stream")
			}
			return last, nil
		}
		if err != nil {
			return last, err
		}
		last = m
	}
}

// Chat sends every message of a stream back.
func Chat[In, Out any](s interface {
	Send(Out) error
	Recv() (In, error)
}, convert func(In) Out) error {
	for {
		m, err := s.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := s.Send(convert(m)); err != nil {
			return err
		}
	}
}

// Same is the conversion of a Chat in which both sides send the same type.
func Same[M any](m M) M { return m }
