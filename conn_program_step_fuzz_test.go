//go:build go1.25 && unix

package ttrpc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// want checks the error of an operation.
func (p *program) want(what string, got error, want func(error) bool) {
	p.t.Helper()
	switch {
	case p.ended:
		if got != ErrClosed {
			p.t.Errorf("%s after the end: got %v, want ErrClosed", what, got)
		}
	case got == ErrClosed && p.mayEnd():
	case !want(got):
		p.t.Errorf("%s: got %v", what, got)
	}
}

func noError(err error) bool { return err == nil }

func hasCode(code codes.Code) func(error) bool {
	return func(err error) bool { return err != nil && status.Code(err) == code }
}

// step does one of the operations that affect no other stream.
func (p *program) step(op byte, arg int) {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	accepted := noError
	if p.draining {
		accepted = hasCode(codes.Unavailable)
	}
	var ps *programStream
	if len(p.streams) > 0 {
		ps = p.streams[arg%len(p.streams)]
	}
	switch op {
	case 0:
		p.want("Echo", echo(ctx, p.c, strings.Repeat("e", arg*11)), accepted)
	case 1:
		want := hasCode(codes.AlreadyExists)
		if p.draining {
			want = accepted
		}
		p.want("Fail", p.c.Call(ctx, testService, "Fail", &KeyValue{}, &KeyValue{}), want)
	case 15:
		value := strings.Repeat("d", arg*11)
		want := accepted
		if doubled(value) == tooLongToSend && !p.draining {
			want = hasCode(codes.ResourceExhausted)
		}
		var m KeyValue
		err := p.c.Call(ctx, testService, "Double", text(value), &m)
		p.want("Double", err, want)
		if err == nil && m.Value != value+value {
			p.t.Error("Double: the response is not twice the request")
		}
	case 2:
		p.openStream("Doubles", bidi, arg)
	case 17:
		p.openStream("Slow", bidi, arg)
	case 9:
		p.openStream("Repeat", fromServer, arg)
	case 3:
		if ps != nil && !ps.server {
			p.send(ps, arg)
		}
	case 4:
		if ps != nil {
			p.receive(ps)
		}
	case 5:
		if ps != nil && !ps.server && !ps.closed && !ps.cancelled {
			err := ps.cs.CloseSend()
			p.wantSent(ps, "CloseSend", err, func(err error) bool { return err == nil || isLate(err) })
			ps.closed = true
			p.noteWaiting(ps)
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
		short, cancel := context.WithTimeout(ctx, p.place.duration(time.Duration(arg)*time.Millisecond))
		err := p.c.Call(short, testService, "Block", &KeyValue{}, &KeyValue{})
		cancel()
		if arg == 0 {
			if err != context.DeadlineExceeded {
				p.t.Errorf("a call that is late: got %v", err)
			}
			break
		}
		want := func(err error) bool { return errors.Is(err, context.DeadlineExceeded) }
		if p.ended && p.place == programOnSocket && want(err) {
			break // it was late before it could see the end
		}
		if p.draining {
			late := want // before the answer, which takes time
			want = func(err error) bool {
				return accepted(err) || (p.unsettled || p.place == programOnSocket) && late(err)
			}
		}
		p.want("Block", err, want)
	case 10:
		time.Sleep(p.place.duration(time.Duration(arg) * 10 * time.Millisecond))
	}
	cancel()
}

func (p *program) openStream(method string, desc *StreamDesc, arg int) {
	if len(p.streams) == 20 || p.draining {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	ps := &programStream{cancel: cancel, server: !desc.StreamingClient}
	var first any
	if ps.server {
		value := strings.Repeat("r", arg)
		first = text(value)
		for range value {
			ps.pending = append(ps.pending, programMessage{value: value})
		}
		ps.closed = true
	}
	var err error
	ps.cs, err = p.c.NewStream(ctx, desc, testService, method, first)
	p.want("NewStream", err, noError)
	if err != nil {
		cancel()
		return
	}
	ps.slow = method == "Slow"
	p.streams = append(p.streams, ps)
	p.noteWaiting(ps)
}

// isLate reports whether err is the error of an unread stream, from this side or from the
// server.
func isLate(err error) bool {
	return errors.Is(err, ErrStreamFull) || status.Code(err) == codes.ResourceExhausted || err == io.EOF
}

// wantSent is want for a stream's sender. A sender may get the error of a stream that
// failed, as late describes it, even after the end of the connection.
func (p *program) wantSent(ps *programStream, what string, got error, late func(error) bool) {
	p.t.Helper()
	if p.ended && ps.late && late(got) {
		return
	}
	p.want(what, got, ps.orLate(noError))
}

func (p *program) send(ps *programStream, arg int) {
	for p.place == programWithWindows && ps.held() && !ps.cancelled && !p.ended && !p.t.Failed() {
		p.receive(ps) // the sender would wait
	}
	p.sent++
	value := fmt.Sprint("message ", p.sent, " ")
	if arg >= 80 {
		value += strings.Repeat("m", (arg-80)*11)
	}
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
	case ps.failed:
		if err == nil {
			p.t.Error("SendMsg on a stream that has failed: no error")
		}
	default:
		p.wantSent(ps, "SendMsg", err, isLate)
		ps.pending = append(ps.pending, programMessage{doubled(value), value})
		p.noteWaiting(ps)
	}
}

// receive receives if the model knows that there is a message.
func (p *program) receive(ps *programStream) {
	if len(ps.pending) == 0 && !ps.closed && !ps.cancelled && !ps.failed && !p.ended {
		return // it would wait
	}
	var m KeyValue
	err := ps.cs.RecvMsg(&m)
	switch {
	case err == nil:
		if len(ps.pending) == 0 || m.Value != ps.pending[0].value {
			p.t.Errorf("received %.20q, want the first of %.20q", m.Value, ps.pending)
			return
		}
		ps.pending = ps.pending[1:]
	case ps.cancelled:
		if err != context.Canceled && err != io.EOF && err != ErrClosed && !(ps.late && isLate(err)) {
			p.t.Errorf("RecvMsg after cancel: got %v", err)
		}
	case p.ended, err == ErrClosed && p.mayEnd():
		if err != ErrClosed && err != io.EOF && !(ps.late && isLate(err)) {
			p.t.Errorf("RecvMsg after the end: got %v", err)
		}
	case ps.late && err != io.EOF && isLate(err):
		ps.failed = true
	case err != io.EOF || len(ps.pending) > 0:
		p.t.Errorf("RecvMsg: got %v with %d messages to come", err, len(ps.pending))
	}
}
