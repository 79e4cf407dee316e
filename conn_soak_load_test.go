package ttrpc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// pause waits for d or the end.
func (s *soak) pause(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-s.over:
	}
}

// disconnect replaces connections. It closes some of them, at once or after their last
// call, and breaks others.
func (s *soak) disconnect(r *rand.Rand) {
	for {
		s.pause(time.Duration(r.Intn(100)) * time.Millisecond)
		if s.isOver() {
			return
		}
		i := r.Intn(len(s.slots))
		slot := &s.slots[i]
		slot.mu.Lock()
		old, raw := slot.client, slot.raw
		slot.client, slot.raw = s.dial(i)
		slot.mu.Unlock()
		switch r.Intn(3) {
		case 0:
			old.Close()
		case 1:
			raw.Close()
		case 2:
			s.waitIdle(old) // its callers end, and no others come
			old.Close()
		}
		ctx, cancel := context.WithTimeout(context.Background(), testTimeout)
		if err := old.UserOnCloseWait(ctx); err != nil {
			s.t.Errorf("a connection was closed and UserOnCloseWait returned %v", err)
		}
		cancel()
	}
}

// soakPatience is the time that a call without a deadline may take on a busy machine with
// thousands of other calls.
const soakPatience = 3 * time.Minute

// waitIdle waits until the client has no streams.
func (s *soak) waitIdle(c *Client) {
	for start := time.Now(); ; s.pause(time.Millisecond) {
		n, err := tableOf(c.conn)
		if n == 0 || err != nil {
			return
		}
		if time.Since(start) > soakPatience {
			s.t.Errorf("%d streams are left of callers that have gone elsewhere", n)
			return
		}
	}
}

// caller is the loop of one of thousands of callers.
func (s *soak) caller(r *rand.Rand) {
	for !s.isOver() {
		slot := &s.slots[r.Intn(len(s.slots))]
		slot.mu.Lock()
		c := slot.client
		slot.mu.Unlock()
		ctx, cancel, ends := s.context(r)
		what, err := s.do(ctx, c, r)
		cancel()
		s.check(ends, c, what, err)
	}
}

// context returns a context of a caller, and whether it ends by itself.
func (s *soak) context(r *rand.Rand) (ctx context.Context, cancel func(), ends bool) {
	after := time.Duration(r.Intn(20_000)) * time.Microsecond
	switch r.Intn(4) {
	case 0:
		ctx, cancel := context.WithTimeout(context.Background(), after)
		return ctx, cancel, true
	case 1:
		ctx, cancel := context.WithCancel(context.Background())
		timer := time.AfterFunc(after, cancel)
		return ctx, func() { timer.Stop(); cancel() }, true
	}
	ctx, cancel = context.WithCancel(context.Background())
	return ctx, cancel, false
}

// check reports errors that have no cause.
func (s *soak) check(ends bool, c *Client, what string, err error) {
	switch {
	case err == nil:
	case ends && (errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) ||
		status.Code(err) == codes.DeadlineExceeded || status.Code(err) == codes.Canceled):
		s.givenUp.Add(1)
		if what == "EchoStream" || what == "Join" {
			s.leave(c)
		}
	case err == ErrClosed:
		s.cutOff.Add(1)
		ctx, cancel := context.WithTimeout(context.Background(), testTimeout)
		defer cancel()
		if err := c.UserOnCloseWait(ctx); err != nil {
			s.t.Errorf("%s returned ErrClosed, and the connection is there: %v", what, err)
		}
	default:
		s.t.Errorf("%s: %v", what, err)
	}
}

// leave records that a stream may have been left open.
func (s *soak) leave(c *Client) {
	s.leftMu.Lock()
	defer s.leftMu.Unlock()
	s.left[c]++
}

// value returns a random value, usually a small one.
func (s *soak) value(r *rand.Rand) string {
	n := r.Intn(300)
	switch r.Intn(200) {
	case 0:
		n = r.Intn(1 << 20)
	case 1, 2, 3, 4, 5, 6, 7, 8, 9:
		n = r.Intn(64 << 10)
	}
	mark := fmt.Sprintf("%016x", r.Uint64())
	return strings.Repeat(mark, n/16+1)[:n]
}

func (s *soak) do(ctx context.Context, c *Client, r *rand.Rand) (what string, err error) {
	switch r.Intn(20) {
	default:
		s.calls.Add(1)
		return "Echo", echo(ctx, c, s.value(r))
	case 0:
		s.calls.Add(1)
		err := c.Call(ctx, testService, "Fail", &KeyValue{}, &KeyValue{})
		if status.Code(err) == codes.AlreadyExists {
			err = nil
		}
		return "Fail", err
	case 1:
		s.calls.Add(1)
		err := c.Call(ctx, testService, "NoMethod", &KeyValue{}, &KeyValue{})
		if status.Code(err) == codes.Unimplemented {
			err = nil
		}
		return "NoMethod", err
	case 2:
		s.calls.Add(1)
		ctx, cancel := context.WithTimeout(ctx, time.Millisecond)
		defer cancel()
		err := c.Call(ctx, testService, "Block", &KeyValue{}, &KeyValue{})
		if errors.Is(err, context.DeadlineExceeded) || status.Code(err) == codes.DeadlineExceeded {
			err = nil
		}
		return "Block", err
	case 3, 4:
		return "EchoStream", s.echoStream(ctx, c, r)
	case 5:
		return "Repeat", s.repeat(ctx, c, r)
	case 6:
		return "Join", s.join(ctx, c, r)
	}
}

// echoStream sends and receives in turn, and sometimes leaves early.
func (s *soak) echoStream(ctx context.Context, c *Client, r *rand.Rand) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s.streams.Add(1)
	cs, err := c.NewStream(ctx, &StreamDesc{StreamingClient: true, StreamingServer: true}, testService, "EchoStream", nil)
	if err != nil {
		return err
	}
	for n := r.Intn(20); n > 0; n-- {
		want := s.value(r)
		if err := cs.SendMsg(&KeyValue{Value: want}); err != nil && err != io.EOF {
			return err
		}
		var m KeyValue
		if err := cs.RecvMsg(&m); err != nil {
			return err
		}
		if m.Value != want {
			return errors.New("the message is not what was sent")
		}
		s.messages.Add(1)
		if r.Intn(50) == 0 {
			s.leave(c)
			return nil // with a stream that is open
		}
	}
	if err := cs.CloseSend(); err != nil {
		return err
	}
	return wantEOF(cs.RecvMsg(&KeyValue{}))
}

// repeat reads a stream slowly.
func (s *soak) repeat(ctx context.Context, c *Client, r *rand.Rand) error {
	s.streams.Add(1)
	want := strings.Repeat("r", r.Intn(200))
	cs, err := c.NewStream(ctx, &StreamDesc{StreamingServer: true}, testService, "Repeat", &KeyValue{Value: want})
	if err != nil {
		return err
	}
	for range want {
		var m KeyValue
		if err := cs.RecvMsg(&m); err != nil {
			return err
		}
		if m.Value != want {
			return errors.New("the message is not the one that is repeated")
		}
		s.messages.Add(1)
		if r.Intn(100) == 0 {
			s.pause(time.Duration(r.Intn(2000)) * time.Microsecond)
		}
	}
	return wantEOF(cs.RecvMsg(&KeyValue{}))
}

// join sends messages and checks their sum.
func (s *soak) join(ctx context.Context, c *Client, r *rand.Rand) error {
	s.streams.Add(1)
	cs, err := c.NewStream(ctx, &StreamDesc{StreamingClient: true}, testService, "Join", nil)
	if err != nil {
		return err
	}
	var want strings.Builder
	for n := r.Intn(50); n > 0; n-- {
		value := fmt.Sprint(r.Uint32())
		want.WriteString(value)
		if err := cs.SendMsg(&KeyValue{Value: value}); err == io.EOF {
			break // RecvMsg tells why
		} else if err != nil {
			return err
		}
		s.messages.Add(1)
	}
	if err := cs.CloseSend(); err != nil {
		return err
	}
	var m KeyValue
	if err := cs.RecvMsg(&m); err != nil {
		return err
	}
	if m.Value != want.String() {
		return errors.New("the sum is not of what was sent")
	}
	return nil
}
