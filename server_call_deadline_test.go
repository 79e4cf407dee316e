//go:build go1.25

package ttrpc

import (
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
)

// A deadline travels with the call, and ends the handler's context when its time
// has come.
func TestServerDeadline(t *testing.T) {
	for _, method := range []string{"Hold", "HoldStream"} {
		method := method
		bubble(t, func(t *testing.T) {
			st, p := serverPeer(t)
			start := time.Now()
			call := st.start(p, requestFrame(1, kindOf(method), &Request{Service: testService, Method: method, TimeoutNano: int64(time.Second)}))
			if d, ok := call.ctx.Deadline(); !ok || d.Sub(start) != time.Second {
				t.Errorf("%s: the deadline is %v, %v", method, d.Sub(start), ok)
			}
			if err := call.ctx.Err(); err != nil {
				t.Errorf("%s: before the deadline: %v", method, err)
			}
			derived, cancel := context.WithCancel(call.ctx)
			defer cancel()
			<-derived.Done()
			<-call.ctx.Done()
			wantElapsed(t, method, start, time.Second)
			if call.ctx.Err() != context.DeadlineExceeded || derived.Err() != context.DeadlineExceeded {
				t.Errorf("%s: got %v and %v, want DeadlineExceeded", method, call.ctx.Err(), derived.Err())
			}
			call.returns(nil, call.ctx.Err())
			p.wantStatus("the handler's error", 1, codes.DeadlineExceeded)
		})
	}
}

// A handler hears of the end of its context from SendMsg and RecvMsg, whether it looks
// at the context or not, and though there is room and the client goes on sending.
func TestServerStreamAfterDeadline(t *testing.T) {
	for _, look := range []bool{false, true} {
		look := look
		bubble(t, func(t *testing.T) {
			st, p := serverPeer(t)
			call := st.start(p, requestFrame(1, flagRemoteOpen, &Request{Service: testService, Method: "HoldStream", TimeoutNano: int64(time.Second)}))
			if look {
				call.ctx.Done()
			}
			if err := call.ss.SendMsg(text("in time")); err != nil {
				t.Fatal(err)
			}
			p.want("before the deadline", data(1, 0, text("in time")))
			time.Sleep(time.Second)
			for i := 0; i < 3; i++ {
				p.send(data(1, 0, text("unheard")))
				synctest.Wait()
				if err := call.ss.SendMsg(text("late")); err != context.DeadlineExceeded {
					t.Errorf("looked %v: SendMsg: got %v, want DeadlineExceeded", look, err)
				}
				call.wantRecvErr(t, "after the deadline", context.DeadlineExceeded)
			}
			p.wantNothing("after the deadline")
			// The end of the stream says more.
			p.send(data(1, flagRemoteClosed|flagNoData, nil))
			synctest.Wait()
			for i := 0; i < 3; i++ {
				call.wantRecv(t, "from before the client's end", "unheard")
			}
			call.wantRecvErr(t, "the client's end", io.EOF)
			call.returns(nil, context.DeadlineExceeded)
			p.wantStatus("the handler's error", 1, codes.DeadlineExceeded)
			p.alive("after", 3)
		})
	}
}

// Whether Serve's context ended before a call's deadline is known also where nobody
// looked in the meantime, be it that the call had begun by then or not.
func TestServerContextBeforeDeadline(t *testing.T) {
	bubble(t, func(t *testing.T) {
		handlers, over := make(chan context.Context, 2), make(chan struct{})
		s, err := NewServer()
		if err != nil {
			t.Fatal(err)
		}
		s.Register(testService, map[string]Method{"Wait": func(ctx context.Context, _ func(any) error) (any, error) {
			handlers <- ctx
			<-over
			return &KeyValue{}, nil
		}})
		l := newMemListener(0)
		ctx, end := context.WithCancelCause(context.Background())
		defer end(nil)
		served := make(chan error, 1)
		go func() { served <- s.Serve(ctx, l) }()
		p := &peer{t: t, conn: l.dial()}
		why := errors.New("why")
		for _, id := range []streamID{1, 3} {
			p.send(requestFrame(id, 0, &Request{Service: testService, Method: "Wait", TimeoutNano: int64(time.Second)}))
			synctest.Wait()
			end(why)
			time.Sleep(2 * time.Second)
			handler := <-handlers
			if err, cause := handler.Err(), context.Cause(handler); err != context.Canceled || cause != why {
				t.Errorf("call %d: got %v, %v, want Canceled and the cause of Serve's context", id, err, cause)
			}
		}
		close(over)
		p.conn.Close()
		s.Close()
		<-served
	})
}

func TestServerOddDeadlines(t *testing.T) {
	bubble(t, func(t *testing.T) {
		st, p := serverPeer(t)
		for i, test := range []struct {
			timeout int64
			ok      bool
			err     error
		}{
			{0, false, nil},
			{-1, true, context.DeadlineExceeded},
			{-1 << 63, true, context.DeadlineExceeded},
			{1, true, nil},
			{1<<63 - 1, true, nil},
		} {
			id := streamID(2*i + 1)
			call := st.start(p, requestFrame(id, 0, &Request{Service: testService, Method: "Hold", TimeoutNano: test.timeout}))
			if _, ok := call.ctx.Deadline(); ok != test.ok {
				t.Errorf("timeout %d: there is a deadline: %v, want %v", test.timeout, ok, test.ok)
			}
			if err := call.ctx.Err(); err != test.err {
				t.Errorf("timeout %d: the context's error is %v, want %v", test.timeout, err, test.err)
			}
			call.returns(text(""), nil)
			p.want("the call ends", response(id, text("")))
		}
	})
}
