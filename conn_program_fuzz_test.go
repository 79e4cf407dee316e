//go:build go1.25 && unix

package ttrpc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// FuzzProgram runs a random program of operations on a client and a server, and checks each
// result against a small model. It runs in a bubble, where inboxes are small and unread
// streams fail; in a bubble with extensions, where the senders of such streams wait; and
// over a kernel socket, where time is real and inboxes are large.
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
	f.Add([]byte{0, 15, 90, 15, 200, 15, 150, 2, 0, 3, 160, 3, 200, 4, 0, 4, 0, 5, 0})                  // responses over the limit
	f.Add([]byte{0, 2, 0, 3, 0, 3, 0, 3, 0, 3, 0, 3, 0, 3, 0, 3, 0, 3, 0, 4, 0, 4, 0, 4, 0, 4, 0, 4, 0, // an inbox
		3, 0, 3, 0, 4, 0, 4, 0, 4, 0, 4, 0, 4, 0, 5, 0, 4, 0})
	// Readers that are late: they fail, others do not, and one reads in time.
	f.Add([]byte{0, 2, 0, 3, 100, 3, 100, 3, 100, 3, 100, 3, 100, 3, 100, 0, 3, 16, 0, 4, 0, 4, 0, 3, 0, 0, 1})
	f.Add([]byte{0, 9, 200, 0, 3, 10, 50, 4, 0, 2, 0, 3, 1, 4, 1, 16, 0, 4, 0, 4, 0, 4, 1})
	f.Add([]byte{1, 9, 120, 2, 0, 3, 121, 3, 121, 3, 121, 3, 121, 3, 121, 3, 121, 16, 0, 0, 1, 13, 0, 0, 1})
	f.Add([]byte{0, 2, 0, 3, 100, 3, 100, 3, 100, 3, 100, 10, 90, 4, 0, 4, 0, 3, 100, 10, 90, 4, 0, 4, 0, 16, 0, 5, 0})
	// A sender on a stream that failed, and then the connection ends.
	f.Add([]byte("0809090909090909090900090"))
	// A handler that is slow.
	f.Add([]byte{2, 17, 0, 3, 90, 3, 90, 3, 90, 3, 90, 3, 90, 0, 9, 4, 0, 4, 0, 4, 0, 4, 0, 4, 0, 5, 0, 16, 0, 4, 0})
	f.Fuzz(func(t *testing.T, code []byte) {
		if len(code) > 300 {
			return
		}
		for _, place := range []programPlace{programInBubble, programWithWindows} {
			bubble(t, func(t *testing.T) { runProgram(t, code, place) })
			if t.Failed() {
				return
			}
		}
		keepLedger(t, func() {
			runProgram(t, code, programOnSocket)
			settle(t)
		})
	})
}

// A programPlace is where a program runs.
type programPlace uint8

const (
	programInBubble programPlace = iota

	// programWithWindows is a bubble with extensions and small windows.
	programWithWindows

	// programOnSocket runs in real time: long waits last a hundredth of their time,
	// inboxes have room for everything, and the state that the model wants may take a
	// moment to appear.
	programOnSocket
)

func (p programPlace) String() string {
	return [...]string{"in a bubble", "with windows", "on a socket"}[p]
}

func (p programPlace) duration(d time.Duration) time.Duration {
	if p == programOnSocket {
		return d / 100
	}
	return d
}

func (p programPlace) limits() Limits {
	l := Limits{MaxMessageLength: 3000, MaxPendingWrite: 500}
	if p != programOnSocket {
		l.MaxStreamBuffer = programInbox
	}
	return l
}

// freeCost is the cost of the messages that a receiver may leave waiting without making the
// sender wait for the window: the receiver states a new limit after half of the window.
var freeCost = int(windowOf(programInbox)) / 2

// programInbox is the limit of a stream's inbox.
const programInbox = 2500

// programMethods answers with its input doubled, or with less if that is too long.
func programMethods(place programPlace) *ServiceDesc {
	double := func(m *KeyValue) *KeyValue { return text(m.Value + m.Value) }
	doubles := func(pause time.Duration) Stream {
		return Stream{StreamingClient: true, StreamingServer: true, Handler: func(ctx context.Context, ss StreamServer) (any, error) {
			for {
				select {
				case <-time.After(pause):
				case <-ctx.Done():
					return nil, ctx.Err()
				}
				var m KeyValue
				if err := ss.RecvMsg(&m); err == io.EOF {
					return nil, nil
				} else if err != nil {
					return nil, err
				}
				err := ss.SendMsg(double(&m))
				var tooLong *OversizedMessageErr
				if errors.As(err, &tooLong) {
					err = ss.SendMsg(text(tooLongToSend))
				}
				if err != nil {
					return nil, err
				}
			}
		}}
	}
	desc := echoMethods()
	desc.Methods["Double"] = func(_ context.Context, unmarshal func(any) error) (any, error) {
		var m KeyValue
		if err := unmarshal(&m); err != nil {
			return nil, err
		}
		return double(&m), nil
	}
	desc.Streams["Doubles"] = doubles(0)
	desc.Streams["Slow"] = doubles(place.duration(300 * time.Millisecond))
	return desc
}

// tooLongToSend replaces a message that the handler may not send.
const tooLongToSend = "too long"

// doubled is the model of Double.
func doubled(value string) string {
	if len(mustMarshal(text(value+value))) > 3000 {
		return tooLongToSend
	}
	return value + value
}

// programMessage is a message from its sending until it is received.
type programMessage struct {
	value   string // as the client receives it
	request string // as the server does; empty if it does not
}

// programStream is the model of a stream: the messages that are still to be received.
type programStream struct {
	cs        ClientStream
	cancel    context.CancelFunc
	pending   []programMessage
	server    bool // the client does not send
	closed    bool // the client sends no more
	cancelled bool
	slow      bool // its handler is
	late      bool // so much waits in it, or did, that it may have failed
	failed    bool // it has
}

// waits returns the least and the most that a stream's inbox holds besides the last message
// when nothing more is received.
func (ps *programStream) waits() (least, most int) {
	for i, m := range ps.pending {
		n := len(mustMarshal(text(m.value)))
		if i < len(ps.pending)-1 {
			least += n + inboxOverhead
		}
		n = max(n, len(mustMarshal(text(m.request))))
		most += bufferClassSize(bufferClass(n)) + inboxOverhead
	}
	return least, most
}

// held reports whether the handler may wait for the window.
func (ps *programStream) held() bool {
	cost := 0
	for i := 0; i < len(ps.pending)-1; i++ {
		cost += len(mustMarshal(text(ps.pending[i].value))) + dataOverhead
	}
	return cost >= freeCost
}

// program is the model of a client and a server.
type program struct {
	t         *testing.T
	place     programPlace
	c         *Client
	streams   []*programStream
	draining  bool // the server takes no more calls
	ended     bool // the connection is over
	unsettled bool // a reader or handler is slow, so the connection may stand still
	sent      int
}

func runProgram(t *testing.T, code []byte, place programPlace) {
	s, err := NewServer(WithServerLimits(place.limits()), WithServerLogger(discardLogger{}))
	if err != nil {
		t.Fatal(err)
	}
	s.RegisterService(testService, programMethods(place))
	l := newMemListener(0)
	served := make(chan error, 1)
	go func() { served <- s.Serve(context.Background(), l) }()
	capacity := 0
	if len(code) > 0 {
		capacity = []int{0, 100, 5000, 1}[code[0]%4]
		code = code[1:]
	}
	var near, far net.Conn
	if place == programOnSocket {
		near, far = socketPair(t)
	} else {
		near, far = memPipe(capacity)
	}
	l.hand(far)
	p := &program{t: t, place: place, c: NewClient(near, WithClientLimits(place.limits()), WithClientExtensions(place == programWithWindows))}
	if place == programWithWindows {
		p.want("Echo", echo(context.Background(), p.c, "an offer"), noError)
	}

	for ; len(code) >= 2 && !t.Failed(); code = code[2:] {
		switch op, arg := code[0]%18, int(code[1]); op {
		case 11:
			p.c.Close()
			p.ended = true
		case 12:
			s.Close()
			p.end()
		case 13:
			if place == programOnSocket && !p.ended && !p.draining {
				// The server has read all earlier frames after this call.
				p.want("Echo", echo(testContext(t), p.c, "before Shutdown"), noError)
			}
			p.draining = true
			ctx, cancel := context.WithCancel(context.Background())
			cancel()
			s.Shutdown(ctx)
		case 14:
			near.Close()
			far.Close()
			p.end()
		case 16:
			p.settle()
		default:
			p.step(op, arg)
		}
		p.wantTable()
	}
	if !t.Failed() {
		p.settle()
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
	if place != programOnSocket {
		time.Sleep(afterwards)
	}
	waitFor(t, "the closed server to lose its connection", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return len(s.conns) == 0
	})
}

// open returns the least and the largest number of streams that the client may have.
func (p *program) open() (least, most int) {
	for _, ps := range p.streams {
		switch {
		case ps.cancelled || ps.failed:
		case p.unsettled || p.place == programWithWindows && ps.held():
			most++ // the end of the stream may still be in transit
		case !ps.closed:
			least++
			most++
		}
	}
	return least, most
}

// serving reports whether a handler is running. Without extensions the handler goes on when
// the client gives its stream up.
func (p *program) serving() bool {
	for _, ps := range p.streams {
		if !ps.closed && !(ps.cancelled && p.place == programWithWindows) {
			return true
		}
	}
	return false
}

// mayEnd reports whether the connection may have ended without the model's knowledge: the
// server of a stream that failed may know the end, and end with its last call.
func (p *program) mayEnd() bool {
	if !p.draining {
		return false
	}
	for _, ps := range p.streams {
		if ps.failed || ps.late || p.place == programWithWindows && (ps.held() || ps.cancelled) {
			return true
		}
	}
	return p.unsettled && !p.serving()
}

// wantTable checks the table of the client when everything is at rest.
func (p *program) wantTable() {
	p.t.Helper()
	if p.place == programOnSocket {
		var err error
		defer func() {
			if err != nil {
				p.t.Error(err)
			}
		}()
		waitFor(p.t, "the table to be right", func() bool { err = p.checkTable(); return err == nil })
		return
	}
	time.Sleep(tick) // for a server that waits whether a handler is quick
	synctest.Wait()
	if err := p.checkTable(); err != nil {
		p.t.Error(err)
	}
}

func (p *program) checkTable() error {
	if p.draining && !p.serving() && !p.mayEnd() {
		p.ended = true // the server closes with its last call
	}
	got, over := tableOf(p.c.conn)
	if over != nil && p.mayEnd() {
		p.ended = true
	}
	least, most := p.open()
	if p.ended {
		least, most = 0, 0
	}
	if got < least || got > most {
		return fmt.Errorf("the client has %d streams, want %d to %d", got, least, most)
	}
	if (over != nil) != p.ended {
		return fmt.Errorf("the connection has ended: %v, want %v", over, p.ended)
	}
	return nil
}

// end records that the connection ends by another operation. While the connection pauses,
// the client does not notice the end at once.
func (p *program) end() {
	p.ended = true
	if p.unsettled {
		p.settle()
	}
}

// settle waits until all pauses of the connection are over. By then a stream has failed if
// and only if too much has been waiting in it.
func (p *program) settle() {
	if p.place != programOnSocket {
		time.Sleep(2 * time.Minute)
		synctest.Wait()
	}
	p.unsettled = false
	if p.ended {
		return
	}
	for i, ps := range p.streams {
		if !ps.late || ps.cancelled {
			continue
		}
		least, most := ps.waits()
		// A stream whose handler has sent all, and had room for it, ends as well.
		gone := p.c.conn.lookup(ps.cs.(*clientStream).id) == nil
		ps.failed = ps.failed || gone && !ps.closed
		if least >= programInbox && !gone {
			p.t.Errorf("stream %d has not failed, and %d bytes wait in it", i, least)
		}
		if !gone {
			ps.late = most >= programInbox
		}
	}
}

// noteWaiting records the possible fates of a stream that gets messages.
func (p *program) noteWaiting(ps *programStream) {
	if p.place == programOnSocket {
		return
	}
	p.unsettled = p.unsettled || ps.slow
	if p.place == programWithWindows {
		return
	}
	if _, most := ps.waits(); most >= programInbox {
		ps.late, p.unsettled = true, true
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

// orLate also allows the error of an unread stream.
func (ps *programStream) orLate(want func(error) bool) func(error) bool {
	return func(err error) bool { return want(err) || ps.late && isLate(err) }
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
