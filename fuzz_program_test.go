//go:build go1.25

package ttrpc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// FuzzProgram runs a random program of operations on a client and a server, and
// checks each result against a model of a few lines.
func FuzzProgram(f *testing.F) {
	f.Add([]byte{0, 0, 5, 0, 200})                                    // calls
	f.Add([]byte{1, 1, 9, 4, 7, 0, 5, 6, 0})                          // errors between calls
	f.Add([]byte{0, 2, 0, 3, 0, 3, 0, 4, 0, 4, 0, 5, 0, 4, 0})        // a stream
	f.Add([]byte{2, 2, 0, 2, 0, 3, 1, 3, 0, 4, 1, 6, 0, 4, 0, 4, 1})  // two, one is cancelled
	f.Add([]byte{1, 9, 20, 4, 0, 4, 0, 0, 1})                         // a server's stream
	f.Add([]byte{0, 2, 0, 3, 0, 11, 0, 4, 0, 0, 1, 2, 0})             // Close
	f.Add([]byte{0, 2, 0, 3, 0, 12, 0, 4, 0, 0, 1})                   // the server closes
	f.Add([]byte{0, 2, 0, 13, 0, 0, 3, 3, 0, 4, 0, 5, 0, 4, 0, 0, 1}) // Shutdown
	f.Add([]byte{0, 2, 0, 3, 0, 14, 0, 4, 0, 0, 1})                   // the connection is lost
	f.Add([]byte{2, 2, 0, 3, 0, 10, 9, 7, 0, 3, 0, 10, 9, 4, 0, 5, 0, 4, 0, 4, 0})
	f.Fuzz(func(t *testing.T, program []byte) {
		if len(program) > 300 {
			return
		}
		bubble(t, func(t *testing.T) { runProgram(t, program) })
	})
}

// programStream is the model of a stream: what it has yet to receive.
type programStream struct {
	cs        ClientStream
	cancel    context.CancelFunc
	pending   []string
	server    bool // the client does not send
	closed    bool // the client sends no more
	cancelled bool
}

// program is the model of a client and a server.
type program struct {
	t        *testing.T
	c        *Client
	streams  []*programStream
	draining bool // the server takes no more calls
	ended    bool // the connection is over
	sent     int
}

func runProgram(t *testing.T, code []byte) {
	s, err := NewServer(WithServerLimits(Limits{MaxMessageLength: 3000, MaxPendingWrite: 500}), WithServerLogger(discardLogger{}))
	if err != nil {
		t.Fatal(err)
	}
	s.RegisterService(testService, echoMethods())
	l := newMemListener(0)
	served := make(chan error, 1)
	go func() { served <- s.Serve(context.Background(), l) }()
	capacity := 0
	if len(code) > 0 {
		capacity = []int{0, 100, 5000, 1}[code[0]%4]
		code = code[1:]
	}
	near, far := memPipe(capacity)
	l.hand(far)
	p := &program{t: t, c: NewClient(near, WithClientLimits(Limits{MaxMessageLength: 3000, MaxPendingWrite: 500}))}

	for ; len(code) >= 2 && !t.Failed(); code = code[2:] {
		switch op, arg := code[0]%15, int(code[1]); op {
		case 11:
			p.c.Close()
			p.ended = true
		case 12:
			s.Close()
			p.ended = true
		case 13:
			p.draining = true
			ctx, cancel := context.WithCancel(context.Background())
			cancel()
			s.Shutdown(ctx)
		case 14:
			near.Close()
			far.Close()
			p.ended = true
		default:
			p.step(op, arg)
		}
		time.Sleep(tick) // for a server that waits whether a handler is quick
		synctest.Wait()
		p.checkTable()
	}

	p.c.Close()
	s.Close()
	p.ended = true
	for _, ps := range p.streams {
		receiveAll(ps.cs)
		ps.cancel()
	}
	if err := p.c.UserOnCloseWait(context.Background()); err != nil {
		t.Error(err)
	}
	if err := <-served; err != ErrServerClosed {
		t.Errorf("Serve: got %v", err)
	}
	time.Sleep(afterwards)
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.conns) > 0 {
		t.Error("the closed server has a connection")
	}
}

// open is how many streams the client must have.
func (p *program) open() (n int) {
	for _, ps := range p.streams {
		if !ps.closed && !ps.cancelled {
			n++
		}
	}
	return n
}

// serving says whether a handler runs. It goes on when the client gives its stream
// up: the protocol has no message for that.
func (p *program) serving() bool {
	for _, ps := range p.streams {
		if !ps.closed {
			return true
		}
	}
	return false
}

func (p *program) checkTable() {
	p.t.Helper()
	want := p.open()
	if p.draining && !p.serving() {
		p.ended = true // the server closes with its last call
	}
	if p.ended {
		want = 0
	}
	p.c.conn.mu.Lock()
	defer p.c.conn.mu.Unlock()
	if got := len(p.c.conn.streams); got != want {
		p.t.Errorf("the client has %d streams, want %d", got, want)
	}
	if (p.c.conn.err != nil) != p.ended {
		p.t.Errorf("the connection has ended: %v, want %v", p.c.conn.err, p.ended)
	}
}

// want checks the error of an operation.
func (p *program) want(what string, got error, want func(error) bool) {
	p.t.Helper()
	switch {
	case p.ended:
		if got != ErrClosed {
			p.t.Errorf("%s after the end: got %v, want ErrClosed", what, got)
		}
	case !want(got):
		p.t.Errorf("%s: got %v", what, got)
	}
}

func noError(err error) bool { return err == nil }

func withCode(code codes.Code) func(error) bool {
	return func(err error) bool { return err != nil && status.Code(err) == code }
}

// step does one operation of those that change nothing for others.
func (p *program) step(op byte, arg int) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	accepted := noError
	if p.draining {
		accepted = withCode(codes.Unavailable)
	}
	var ps *programStream
	if len(p.streams) > 0 {
		ps = p.streams[arg%len(p.streams)]
	}
	switch op {
	case 0:
		p.want("Echo", echo(ctx, p.c, strings.Repeat("e", arg*11)), accepted)
	case 1:
		want := withCode(codes.AlreadyExists)
		if p.draining {
			want = accepted
		}
		p.want("Fail", p.c.Call(ctx, testService, "Fail", &KeyValue{}, &KeyValue{}), want)
	case 2, 9:
		p.openStream(op == 9, arg)
	case 3:
		if ps != nil && !ps.server {
			p.send(ps)
		}
	case 4:
		if ps != nil {
			p.receive(ps)
		}
	case 5:
		if ps != nil && !ps.server && !ps.closed && !ps.cancelled {
			err := ps.cs.CloseSend()
			p.want("CloseSend", err, noError)
			ps.closed = true
		}
	case 6:
		if ps != nil && !ps.cancelled {
			ps.cancel()
			ps.cancelled = true
		}
	case 7:
		var tooLong *OversizedMessageErr
		err := p.c.Call(ctx, testService, "Echo", text(strings.Repeat("o", 3000+arg)), &KeyValue{})
		if !errors.As(err, &tooLong) {
			p.t.Errorf("an oversized call: got %v", err)
		}
	case 8: // a call that is given up
		short, cancel := context.WithTimeout(ctx, time.Duration(arg)*time.Millisecond)
		err := p.c.Call(short, testService, "Block", &KeyValue{}, &KeyValue{})
		cancel()
		if arg == 0 {
			if err != context.DeadlineExceeded {
				p.t.Errorf("a call that is late: got %v", err)
			}
			break
		}
		want := func(err error) bool { return errors.Is(err, context.DeadlineExceeded) }
		if p.draining {
			want = accepted
		}
		p.want("Block", err, want)
	case 10:
		time.Sleep(time.Duration(arg) * 10 * time.Millisecond)
	}
	cancel()
}

func (p *program) openStream(server bool, arg int) {
	if len(p.streams) == 20 || p.draining {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	ps := &programStream{cancel: cancel, server: server}
	var err error
	if server {
		value := strings.Repeat("r", arg)
		ps.cs, err = p.c.NewStream(ctx, fromServer, testService, "Repeat", text(value))
		for range value {
			ps.pending = append(ps.pending, value)
		}
		ps.closed = true
	} else {
		ps.cs, err = p.c.NewStream(ctx, bidi, testService, "EchoStream", nil)
	}
	p.want("NewStream", err, noError)
	if err != nil {
		cancel()
		return
	}
	p.streams = append(p.streams, ps)
}

func (p *program) send(ps *programStream) {
	p.sent++
	value := fmt.Sprint("message ", p.sent)
	err := ps.cs.SendMsg(text(value))
	switch {
	case ps.closed:
		if err == nil {
			p.t.Error("SendMsg after CloseSend: no error")
		}
	case ps.cancelled:
		if err == nil {
			p.t.Error("SendMsg after cancel: no error")
		}
	default:
		p.want("SendMsg", err, noError)
		ps.pending = append(ps.pending, value)
	}
}

// receive receives when the model knows that there is something.
func (p *program) receive(ps *programStream) {
	if len(ps.pending) == 0 && !ps.closed && !ps.cancelled && !p.ended {
		return // it would wait
	}
	var m KeyValue
	err := ps.cs.RecvMsg(&m)
	switch {
	case err == nil:
		if len(ps.pending) == 0 || m.Value != ps.pending[0] {
			p.t.Errorf("received %q, want the first of %q", m.Value, ps.pending)
			return
		}
		ps.pending = ps.pending[1:]
	case ps.cancelled:
		if err != context.Canceled && err != io.EOF && err != ErrClosed {
			p.t.Errorf("RecvMsg after cancel: got %v", err)
		}
	case p.ended:
		if err != ErrClosed && err != io.EOF {
			p.t.Errorf("RecvMsg after the end: got %v", err)
		}
	case err != io.EOF || len(ps.pending) > 0:
		p.t.Errorf("RecvMsg: got %v with %d messages to come", err, len(ps.pending))
	}
}
