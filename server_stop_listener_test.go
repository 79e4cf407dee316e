package ttrpc

import (
	"context"
	"errors"
	"net"
	"sync"
	"testing"
	"time"
)

// stuckListener is a listener whose Close waits until the test ends.
type stuckListener struct {
	net.Listener
	release chan struct{}
	once    sync.Once
}

func newStuckListener(t *testing.T) *stuckListener {
	l := &stuckListener{Listener: newMemListener(0), release: make(chan struct{})}
	t.Cleanup(l.free)
	return l
}

func (l *stuckListener) free() { l.once.Do(func() { close(l.release) }) }

func (l *stuckListener) Close() error {
	<-l.release
	l.Listener.Close()
	return errors.New("late")
}

// A listener whose Close blocks holds up neither the connections nor the other listeners.
// It holds up Shutdown until its context ends, and Close only briefly.
func TestStuckListener(t *testing.T) {
	for name, end := range map[string]func(*Server) error{
		"Close": (*Server).Close,
		"Shutdown": func(s *Server) error {
			ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
			defer cancel()
			if err := s.Shutdown(ctx); err != context.DeadlineExceeded {
				t.Errorf("Shutdown: got %v, want DeadlineExceeded", err)
			}
			return nil
		},
	} {
		end := end
		t.Run(name, func(t *testing.T) {
			s := newServer(t, echoMethods())
			stuck, other := newStuckListener(t), listen(t)
			stuckServed := goErr(func() error { return s.Serve(context.Background(), stuck) })
			otherServed := goErr(func() error { return s.Serve(context.Background(), other) })
			var clients []*Client
			for _, nc := range []net.Conn{stuck.Listener.(*memListener).dial(), dialRaw(t, other.Addr().String())} {
				c := NewClient(nc)
				defer c.Close()
				if err := echo(testContext(t), c, "x"); err != nil {
					t.Fatal(err)
				}
				clients = append(clients, c)
			}
			if err := within(t, name, goErr(func() error { return end(s) })); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			for _, c := range clients {
				if err := c.UserOnCloseWait(testContext(t)); err != nil {
					t.Errorf("a connection goes on: %v", err)
				}
			}
			if err := within(t, "Serve of the other listener", otherServed); err != ErrServerClosed {
				t.Errorf("Serve of the other listener: got %v", err)
			}
			stuck.free()
			if err := within(t, "Serve", stuckServed); err != ErrServerClosed {
				t.Errorf("Serve: got %v", err)
			}
			if err := s.Shutdown(testContext(t)); err != nil {
				t.Errorf("Shutdown at last: %v", err)
			}
		})
	}
}

// complainingListener is a listener whose Close always returns an error and ends no Accept.
type complainingListener struct {
	net.Listener
	accepts chan struct{} // a token for each Accept
	fail    chan struct{} // closed to have Accept fail
}

func newComplainingListener() *complainingListener {
	return &complainingListener{newMemListener(0), make(chan struct{}, 1), make(chan struct{})}
}

var errComplaint = errors.New("the listener complains")

func (l *complainingListener) Accept() (net.Conn, error) {
	l.accepts <- struct{}{}
	<-l.fail
	return nil, errComplaint
}

func (l *complainingListener) Close() error { return errComplaint }

// The server forgets a listener that it has closed, and a listener whose Serve has
// returned: no other Close reports its error.
func TestListenerIsForgotten(t *testing.T) {
	s, l := newServer(t, nil), newComplainingListener()
	served := goErr(func() error { return s.Serve(context.Background(), l) })
	within(t, "Accept", l.accepts)
	close(l.fail)
	if err := within(t, "Serve", served); err != errComplaint {
		t.Errorf("Serve: got %v, want the listener's error", err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("Close after Serve: %v", err)
	}

	s, l = newServer(t, nil), newComplainingListener()
	served = goErr(func() error { return s.Serve(context.Background(), l) })
	within(t, "Accept", l.accepts)
	if err := s.Close(); err != errComplaint {
		t.Errorf("Close: got %v, want the listener's error", err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("another Close: %v", err)
	}
	close(l.fail)
	if err := within(t, "Serve", served); err != ErrServerClosed {
		t.Errorf("Serve: got %v, want ErrServerClosed", err)
	}
}
