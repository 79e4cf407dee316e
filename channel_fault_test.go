//go:build go1.25

package ttrpc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// faultScenario is a sequence of a client's operations that succeeds unless a fault occurs.
type faultScenario struct {
	name string
	run  func(ctx context.Context, c *Client) error
}

var faultScenarios = []faultScenario{
	{"unary", func(ctx context.Context, c *Client) error { return echo(ctx, c, "hello") }},
	{"long unary", func(ctx context.Context, c *Client) error { return echo(ctx, c, strings.Repeat("long", 1500)) }},
	{"error", func(ctx context.Context, c *Client) error {
		err := c.Call(ctx, testService, "Fail", &KeyValue{}, &KeyValue{})
		if status.Code(err) == codes.AlreadyExists {
			return nil
		}
		return err
	}},
	{"concurrent", func(ctx context.Context, c *Client) error {
		errs := make(chan error, 3)
		for i := 0; i < cap(errs); i++ {
			i := i
			go func() { errs <- echo(ctx, c, fmt.Sprint("call ", i)) }()
		}
		var first error
		for i := 0; i < cap(errs); i++ {
			if err := <-errs; err != nil && first == nil {
				first = err
			}
		}
		return first
	}},
	{"both stream", func(ctx context.Context, c *Client) error {
		cs, err := c.NewStream(ctx, bidi, testService, "EchoStream", nil)
		if err != nil {
			return err
		}
		for i := 0; i < 3; i++ {
			want := fmt.Sprint("round ", i)
			if err := cs.SendMsg(text(want)); err != nil && err != io.EOF {
				return err
			}
			if err := recvWant(cs, want); err != nil {
				return err
			}
		}
		if err := cs.CloseSend(); err != nil {
			return err
		}
		return recvEnd(cs)
	}},
	{"server streams", func(ctx context.Context, c *Client) error {
		cs, err := c.NewStream(ctx, fromServer, testService, "Repeat", text("four"))
		if err != nil {
			return err
		}
		for i := 0; i < 4; i++ {
			if err := recvWant(cs, "four"); err != nil {
				return err
			}
		}
		return recvEnd(cs)
	}},
	{"client streams", func(ctx context.Context, c *Client) error {
		cs, err := c.NewStream(ctx, fromClient, testService, "Join", text("first"))
		if err != nil {
			return err
		}
		for i := 0; i < 3; i++ {
			if err := cs.SendMsg(text(fmt.Sprint(i))); err != nil && err != io.EOF {
				return err
			}
		}
		if err := cs.CloseSend(); err != nil {
			return err
		}
		if err := recvWant(cs, "first012"); err != nil {
			return err
		}
		return recvEnd(cs)
	}},
	{"metadata and deadline", func(ctx context.Context, c *Client) error {
		ctx, cancel := context.WithTimeout(ctx, faultTime)
		defer cancel()
		var m KeyValue
		if err := c.Call(WithMetadata(ctx, MD{"color": {"blue", "grey"}}), testService, "Context", &KeyValue{}, &m); err != nil {
			return err
		}
		if m.Value != "[blue grey] true" {
			return errWrong
		}
		return nil
	}},
	{"cancelled", func(ctx context.Context, c *Client) error {
		short, cancel := context.WithCancel(ctx)
		timer := time.AfterFunc(tick, cancel)
		defer timer.Stop()
		if err := c.Call(short, testService, "Block", &KeyValue{}, &KeyValue{}); err != context.Canceled {
			return err
		}
		return echo(ctx, c, "after it")
	}},
	{"oversized request", func(ctx context.Context, c *Client) error {
		err := c.Call(ctx, testService, "Echo", text(strings.Repeat("x", faultLimit)), &KeyValue{})
		if status.Code(err) != codes.ResourceExhausted {
			return orWrong(err)
		}
		return echo(ctx, c, "after it")
	}},
	{"oversized response", func(ctx context.Context, c *Client) error {
		err := c.Call(ctx, testService, "Long", &KeyValue{}, &KeyValue{})
		if status.Code(err) != codes.ResourceExhausted {
			return orWrong(err)
		}
		return echo(ctx, c, "after it")
	}},
	{"shutdown", func(ctx context.Context, c *Client) error {
		var m KeyValue
		if err := c.Call(ctx, testService, "Shutdown", &KeyValue{}, &m); err != nil {
			return err
		}
		if m.Value != "meanwhile" {
			return errWrong
		}
		return nil
	}},
}

// faultLimit is the length of messages for servers.
const faultLimit = 7000

// faultMethods is the service of the scenarios.
func faultMethods(s *Server) *ServiceDesc {
	desc := echoMethods()
	desc.Methods["Context"] = func(ctx context.Context, unmarshal func(any) error) (any, error) {
		md, _ := GetMetadata(ctx)
		values, _ := md.Get("color")
		_, deadline := ctx.Deadline()
		return text(fmt.Sprint(values, " ", deadline)), nil
	}
	desc.Methods["Long"] = func(context.Context, func(any) error) (any, error) {
		return text(strings.Repeat("x", faultLimit)), nil
	}
	// Shutdown answers while the server shuts down.
	desc.Methods["Shutdown"] = func(context.Context, func(any) error) (any, error) {
		go func() {
			ctx, cancel := context.WithTimeout(context.Background(), faultTime)
			defer cancel()
			s.Shutdown(ctx)
		}()
		time.Sleep(tick)
		return text("meanwhile"), nil
	}
	return desc
}

// orWrong returns err, or another error if err is nil: the operation should have failed.
func orWrong(err error) error {
	if err == nil {
		err = errWrong
	}
	return err
}

var errWrong = errors.New("the message is not the one that was sent")

func recvWant(cs ClientStream, want string) error {
	var m KeyValue
	if err := cs.RecvMsg(&m); err != nil {
		receiveAll(cs)
		return err
	}
	if m.Value != want {
		receiveAll(cs) // messages that nobody receives are not released
		return errWrong
	}
	return nil
}

func recvEnd(cs ClientStream) error {
	switch err := cs.RecvMsg(&KeyValue{}); err {
	case io.EOF:
		return nil
	case nil:
		receiveAll(cs)
		return errWrong
	default:
		receiveAll(cs)
		return err
	}
}

// faultTime is the time for which a client in trouble waits.
const faultTime = 5 * time.Second

// runFault runs a scenario with a fault on one side's end of the connection. It returns the
// numbers of bytes that this side has read and written, and the error of the scenario.
func runFault(t *testing.T, sc faultScenario, serverSide bool, kind fault, read bool, at int, mask byte) (nRead, nWrote int, err error) {
	bubble(t, func(t *testing.T) {
		s, serr := NewServer(WithServerLogger(discardLogger{}), WithServerLimits(Limits{MaxMessageLength: faultLimit}))
		if serr != nil {
			t.Fatal(serr)
		}
		s.RegisterService(testService, faultMethods(s))
		l := newMemListener(0)
		served := make(chan error, 1)
		go func() { served <- s.Serve(context.Background(), l) }()

		near, far := memPipe(0)
		var ours, theirs net.Conn = near, far
		faulty := newFaultConn(near, kind, read, at, mask)
		if serverSide {
			faulty.memConn = far
			theirs = faulty
		} else {
			ours = faulty
		}
		l.hand(theirs)
		c := NewClient(ours)
		ctx, cancel := context.WithTimeout(context.Background(), faultTime)
		defer cancel()
		start := time.Now()
		err = sc.run(ctx, c)
		if took := time.Since(start); took > faultTime+tick {
			t.Errorf("it took %v", took)
		}
		cancel()
		time.Sleep(tick)
		if n, over := tableOf(c.conn); over == nil && n > 0 {
			t.Errorf("%d streams are left in the client's table", n)
		}
		c.Close()
		if err := c.UserOnCloseWait(context.Background()); err != nil {
			t.Error(err)
		}
		s.Close()
		if err := <-served; err != ErrServerClosed {
			t.Errorf("Serve: got %v", err)
		}
		time.Sleep(afterwards)
		s.mu.Lock()
		defer s.mu.Unlock()
		if len(s.conns) > 0 {
			t.Error("the closed server has a connection")
		}
		faulty.mu.Lock()
		defer faulty.mu.Unlock()
		nRead, nWrote = faulty.nRead, faulty.nWrote
	})
	return nRead, nWrote, err
}

// TestFaults runs every scenario with every fault at every byte of either direction, at the
// client's end and at the server's end.
func TestFaults(t *testing.T) {
	for _, sc := range faultScenarios {
		sc := sc
		t.Run(sc.name, func(t *testing.T) {
			for _, serverSide := range []bool{false, true} {
				nRead, nWrote, err := runFault(t, sc, serverSide, faultNone, true, 0, 0)
				if err != nil {
					t.Fatalf("without a fault: %v", err)
				}
				for kind := faultSplit; kind <= faultError; kind++ {
					for _, read := range []bool{true, false} {
						total := nWrote
						if read {
							total = nRead
						}
						for at := 0; at <= total; at = nextCut(at, total, kind) {
							checkFault(t, sc, serverSide, kind, read, at)
							if t.Failed() {
								t.Fatalf("%v at byte %d of %d, read: %v, at the server: %v", kind, at, total, read, serverSide)
							}
						}
					}
				}
			}
		})
	}
}

// nextCut visits every byte of a short frame, and the bytes near the beginning, the splits
// and the end of a long frame.
func nextCut(at, total int, kind fault) int {
	near := func(n int) bool { return at >= n-25 && at < n+25 }
	stride := 1
	if raceEnabled || testing.Short() {
		stride = 7
	}
	if total > 2000 && !near(0) && !near(minReadLength) && !near(total) {
		stride = 211
	}
	return at + stride
}

func checkFault(t *testing.T, sc faultScenario, serverSide bool, kind fault, read bool, at int) {
	t.Helper()
	masks := []byte{0x01}
	if kind == faultCorrupt {
		masks = []byte{0x01, 0x80, 0xff}
	}
	for _, mask := range masks {
		_, _, err := runFault(t, sc, serverSide, kind, read, at, mask)
		switch {
		case err == nil || kind == faultCorrupt:
			// Corrupt bytes may mean anything: the scenario is over, and nothing is left.
		case kind.harmless():
			t.Errorf("%v", err)
		case kind == faultStall && err == context.DeadlineExceeded:
		case kind != faultStall && err == ErrClosed:
		case kind == faultError && !read && !serverSide && errors.Is(err, ErrClosed) && errors.Is(err, errNoMemory):
		case status.Code(err) == codes.DeadlineExceeded && kind == faultStall:
		default:
			t.Errorf("got %v", err)
		}
	}
}

// receiveAll receives until a stream has ended and has no message left. An error may
// concern only one message; the error of the stream comes more often than messages can
// wait.
func receiveAll(cs ClientStream) error {
	var last error
	for again := 0; again < 200; {
		err := cs.RecvMsg(&KeyValue{})
		if err == nil || last == nil || err.Error() != last.Error() {
			again = 0
		}
		again++
		last = err
	}
	return last
}
