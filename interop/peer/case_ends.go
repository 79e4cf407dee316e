package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/containerd/ttrpc"
)

func init() {
	cases["close_in_call"] = (*env).closeInCall
	cases["shutdown_in_call"] = (*env).shutdownInCall
	cases["server_killed_in_call"] = (*env).serverKilledInCall
	cases["client_killed_in_call"] = (*env).clientKilledInCall
}

// held is how many calls or streams are open when one of the ends goes.
const held = 8

// startCalls starts n calls that last, and returns when their handlers run.
func (c *conn) startCalls(ctx context.Context, n int) (<-chan error, error) {
	ended := make(chan error, n)
	for i := 0; i < n; i++ {
		go func() { ended <- c.call(ctx, "Wait", &emptyMsg{}, &emptyMsg{}) }()
	}
	return ended, c.waitStats("the calls to begin", func(s stats) bool { return s.Handlers >= int64(n) })
}

// wantEnded checks that each of n calls ended with ErrClosed itself.
func wantEnded(ended <-chan error, n int) error {
	timeout := time.After(patience)
	for i := 0; i < n; i++ {
		select {
		case err := <-ended:
			if err := wantSentinel(err, ttrpc.ErrClosed); err != nil {
				return fmt.Errorf("a call in flight: %w", err)
			}
		case <-timeout:
			return fmt.Errorf("%d of %d calls in flight did not return", n-i, n)
		}
	}
	return nil
}

// wantClosed checks a connection that has ended: the callback ran, and further
// calls say so.
func (c *conn) wantClosed() error {
	if err := c.waitClosed(); err != nil {
		return err
	}
	err := c.call(context.Background(), "Empty", &emptyMsg{}, &emptyMsg{})
	if err := wantSentinel(err, ttrpc.ErrClosed); err != nil {
		return fmt.Errorf("the next call: %w", err)
	}
	return nil
}

func (e *env) closeInCall() error {
	return e.wantNothingLeft(func() error {
		c, err := dial(e.socket)
		if err != nil {
			return err
		}
		ended, err := c.startCalls(context.Background(), held)
		if err != nil {
			return err
		}
		c.Close()
		if err := wantEnded(ended, held); err != nil {
			return err
		}
		return c.wantClosed()
	})
}

// wantNothingLeft checks that the server holds no more after f, which ends a
// connection in some rude way, than it held before.
func (e *env) wantNothingLeft(f func() error) error {
	for round := 1; ; round++ {
		if err := e.waitStats("what earlier cases left", idle); err != nil {
			return err
		}
		before, err := e.stats()
		if err != nil {
			return err
		}
		if err := f(); err != nil {
			return err
		}
		what := fmt.Sprintf("no more than %+v", before)
		err = e.waitStats(what, func(s stats) bool {
			return idle(s) && s.Goroutines <= before.Goroutines && s.Descriptors <= before.Descriptors
		})
		if err == nil || round >= e.leaks {
			return err
		}
	}
}

// process is a peer that a case started, to kill it.
type process struct {
	cmd   *exec.Cmd
	said  string    // the rest of its first line
	stdin io.Closer // its end ends the process
}

// start starts a peer and returns when it has printed a line that begins with word.
func start(word, program string, args ...string) (*process, error) {
	cmd := exec.Command(program, args...)
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &process{cmd: cmd, stdin: stdin}
	got, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil || !strings.HasPrefix(got, word) {
		p.kill()
		return nil, fmt.Errorf("peer %v: got %q (%v), want %q", args, got, err, word)
	}
	p.said = strings.TrimSpace(strings.TrimPrefix(got, word))
	return p, nil
}

// kill ends the process with SIGKILL and waits until it is gone.
func (p *process) kill() {
	p.cmd.Process.Kill()
	p.cmd.Wait()
	p.stdin.Close()
}

// withServer gives f a server of its own, to kill, and a connection to it.
func (e *env) withServer(f func(*process, *conn) error) error {
	dir, err := os.MkdirTemp("", "ttrpc-interop-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	socket := filepath.Join(dir, "s")
	if network(e.socket) == "tcp" {
		socket = "127.0.0.1:0"
	}
	server, err := start("ready", e.serverProgram, "serve", socket)
	if err != nil {
		return err
	}
	defer server.kill()
	if server.said != "" {
		socket = server.said
	}
	c, err := dial(socket)
	if err != nil {
		return err
	}
	defer c.Close()
	return f(server, c)
}

// shutdownInCall has a server shut down, and exit, while calls are in flight.
func (e *env) shutdownInCall() error {
	return e.withServer(func(_ *process, c *conn) error {
		ended := make(chan error, held)
		for i := 0; i < held; i++ {
			go func() { ended <- c.call(context.Background(), "Late", &emptyMsg{}, &emptyMsg{}) }()
		}
		if err := c.waitStats("the calls to begin", func(s stats) bool { return s.Handlers == held }); err != nil {
			return err
		}
		const size = 1 << 20
		var resp bytesMsg
		if err := c.call(context.Background(), "Shutdown", payloadRequest(1, requestHeader, size), &resp); err != nil {
			return fmt.Errorf("the call that shuts down: %w", err)
		}
		if err := checkPattern(resp.Value, 1, size); err != nil {
			return err
		}
		for i := 0; i < held; i++ {
			if err := <-ended; err != nil {
				return fmt.Errorf("a call in flight: %w", err)
			}
		}
		return c.wantClosed()
	})
}

func (e *env) serverKilledInCall() error {
	return e.withServer(func(server *process, c *conn) error {
		ended, err := c.startCalls(context.Background(), held)
		if err != nil {
			return err
		}
		server.kill()
		if err := wantEnded(ended, held); err != nil {
			return err
		}
		return c.wantClosed()
	})
}

// killHolder runs this program as a client with open calls, and kills it.
func (e *env) killHolder(kind string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	holder, err := start("held", self, "hold", e.socket, kind, fmt.Sprint(held))
	if err != nil {
		return err
	}
	defer holder.kill()
	return e.waitStats("the calls of the client to be killed", func(s stats) bool { return s.Handlers == held })
}

func (e *env) clientKilledInCall() error {
	return e.wantNothingLeft(func() error { return e.killHolder("unary") })
}

// hold is the client that killHolder kills.
func hold(socket, kind string, n int) error {
	c, err := dial(socket)
	if err != nil {
		return err
	}
	switch kind {
	case "unary":
		_, err = c.startCalls(context.Background(), n)
	case "stream":
		for i := 0; i < n && err == nil; i++ {
			err = holdStream(context.Background(), c)
		}
	default:
		err = errors.New("neither unary nor stream: " + kind)
	}
	if err != nil {
		return err
	}
	fmt.Println("held")
	untilParentEnds()
	return nil
}
