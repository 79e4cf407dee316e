package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/containerd/ttrpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// patience bounds each wait for something that should happen at once.
const patience = 5 * time.Second

// cases holds every case that this build can run as a client. The
// driver's table explains each.
var cases = map[string]func(*env) error{}

// env is the environment of a case.
type env struct {
	*conn         // made for the case, closed after it
	socket        string
	serverProgram string // to start a server of one's own, to be killed
	leaks         int    // rounds in a row that must leave something at the server
}

func runCase(name string, e env) error {
	run, ok := cases[name]
	if !ok {
		return errors.New("no such case in this build")
	}
	var err error
	if e.conn, err = dial(e.socket); err != nil {
		return err
	}
	if err := run(&e); err != nil {
		e.Close()
		return err
	}
	e.Close()
	return e.waitClosed()
}

// conn is a client that knows when its OnClose callback ran.
type conn struct {
	*ttrpc.Client
	closed chan struct{} // closed by the callback
}

// network is the network of an address: TCP for this machine's, else a unix socket.
func network(socket string) string {
	if strings.HasPrefix(socket, "127.0.0.1:") {
		return "tcp"
	}
	return "unix"
}

func dial(socket string) (*conn, error) {
	nc, err := net.Dial(network(socket), socket)
	if err != nil {
		return nil, err
	}
	c := &conn{closed: make(chan struct{})}
	options := append(clientOptions, ttrpc.WithOnClose(func() { close(c.closed) }))
	c.Client = ttrpc.NewClient(wrapConn(nc), options...)
	return c, nil
}

func (c *conn) call(ctx context.Context, method string, req, resp interface{}) error {
	return c.Call(ctx, peerService, method, req, resp)
}

// alive checks that the connection still serves.
func (c *conn) alive() error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := c.call(ctx, "Empty", &emptyMsg{}, &emptyMsg{}); err != nil {
		return fmt.Errorf("the connection no longer serves: %w", err)
	}
	return nil
}

func (c *conn) waitClosed() error {
	select {
	case <-c.closed:
		return nil
	case <-time.After(patience):
		return errors.New("the connection ended and OnClose did not run")
	}
}

// stats asks the server for its calls, streams and goroutines.
func (c *conn) stats() (stats, error) {
	var resp bytesMsg
	var s stats
	if err := c.call(context.Background(), "Stats", &emptyMsg{}, &resp); err != nil {
		return s, err
	}
	return s, json.Unmarshal(resp.Value, &s)
}

// waitStats waits until ok accepts the server's stats.
func (c *conn) waitStats(what string, ok func(stats) bool) error {
	deadline := time.Now().Add(patience)
	for {
		s, err := c.stats()
		if err != nil {
			return err
		}
		if ok(s) {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("server: waited for %s: %+v", what, s)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

func idle(s stats) bool { return s.Handlers == 0 }

// wantCode checks that err is a status with the code.
func wantCode(err error, code codes.Code) error {
	if err == nil {
		return fmt.Errorf("got no error, want code %v", code)
	}
	if st, ok := status.FromError(err); !ok || st.Code() != code {
		return fmt.Errorf("got %T: %v, want code %v", err, err, code)
	}
	return nil
}

// wantSentinel checks for the very error, as consumers compare it.
func wantSentinel(err, want error) error {
	if err != want {
		return fmt.Errorf("got %T: %v, want %v itself", err, err, want)
	}
	return nil
}

// wantDeadline checks that a call ended by its own deadline. Either end may
// have noticed first.
func wantDeadline(err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return nil
	}
	return wantCode(err, codes.DeadlineExceeded)
}
