//go:build go1.25

package ttrpc

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/anypb"
)

// The limit on calls counts handlers: a client that breaks rules to end its streams while
// their handlers run gets no more handlers.
func TestServerMaxCallsCountsHandlers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		st, p := serverPeer(t, WithServerMaxCalls(2))
		first := st.start(p, request(1, "Hold", 0, nil))
		second := st.start(p, request(3, "Hold", 0, nil))
		for _, id := range []streamID{1, 3} {
			p.send(data(id, 0, text("x")))
			p.wantStatus("data on a unary call", id, codes.InvalidArgument)
		}
		st.wantStreams("both streams have ended", 0)
		p.send(request(5, "Echo", 0, text("x")))
		p.wantStatus("a third handler", 5, codes.ResourceExhausted)
		first.returns(text("late"), nil)
		p.wantNothing("the late response")
		p.alive("there is room again", 7)
		third := st.start(p, request(9, "Hold", 0, nil))
		p.send(request(11, "Echo", 0, text("x")))
		p.wantStatus("and again none", 11, codes.ResourceExhausted)
		second.returns(nil, nil)
		third.returns(text("done"), nil)
		p.want("the third", response(9, text("done")))
		p.alive("after", 13)
	})
}

// An empty request is a request for the method "" of the service "". The server goes on
// after every empty frame, even if that method exists.
func TestServerEmptyFrames(t *testing.T) {
	handler := func(_ context.Context, ss StreamServer) (any, error) {
		err := ss.RecvMsg(&KeyValue{})
		if err == io.EOF {
			err = nil
		}
		return text("end"), err
	}
	unary := func(_ context.Context, unmarshal func(any) error) (any, error) {
		return text("end"), unmarshal(&KeyValue{})
	}
	for name, desc := range map[string]*ServiceDesc{
		"none":          {},
		"unary":         {Methods: map[string]Method{"": unary}},
		"client stream": {Streams: map[string]Stream{"": {Handler: handler, StreamingClient: true}}},
		"server stream": {Streams: map[string]Stream{"": {Handler: handler, StreamingServer: true}}},
		"both stream":   {Streams: map[string]Stream{"": {Handler: handler, StreamingClient: true, StreamingServer: true}}},
	} {
		desc := desc
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				st, p := serverPeer(t)
				st.server.RegisterService("", desc)
				id := streamID(1)
				for typ := messageType(0); typ < 5; typ++ {
					for fl := flags(0); fl < 9; fl++ {
						p.send(rawFrame{id: id, typ: typ, flags: fl}, rawFrame{id: id + 1, typ: typ, flags: fl},
							data(id, flagRemoteClosed|flagNoData, nil))
						p.receive()
						p.unread = nil
						p.alive("after", id+2)
						id += 4
					}
				}
				st.wantStreams("all have ended", 0)
			})
		})
	}
}

// The client survives every empty frame, and its call or stream ends or goes on.
func TestClientEmptyFrames(t *testing.T) {
	for typ := messageType(0); typ < 5; typ++ {
		for fl := flags(0); fl < 9; fl++ {
			typ, fl := typ, fl
			bubble(t, func(t *testing.T) {
				c, p := clientPeer(t)
				goCall(t, context.Background(), c, text("x"))
				p.next("a call")
				for i, desc := range []*StreamDesc{fromClient, fromServer, bidi} {
					cs := open(t, context.Background(), c, desc, text("x"))
					p.next("a stream")
					p.send(rawFrame{id: streamID(3 + 2*i), typ: typ, flags: fl})
					if _, err := recvNow(cs); status.Code(err) == codes.Internal {
						t.Errorf("%v, flags %d: %v", typ, fl, err)
					}
				}
				p.send(rawFrame{id: 0, typ: typ, flags: fl}, rawFrame{id: 1, typ: typ, flags: fl}, rawFrame{id: 2, typ: typ, flags: fl})
				call := goCall(t, context.Background(), c, text("y"))
				p.next("another call")
				p.send(response(9, text("y")))
				call.wantValue("after", "y")
				c.Close()
			})
		}
	}
}

// A frame over the limit on an even id gets an answer, for every type.
func TestServerOversizedOnEvenID(t *testing.T) {
	bubble(t, func(t *testing.T) {
		const limit = 1000
		_, p := serverPeer(t, WithServerLimits(Limits{MaxMessageLength: limit}))
		for i, typ := range []messageType{0, messageTypeRequest, messageTypeResponse, messageTypeData, 9} {
			for _, id := range []streamID{0, 2 * streamID(i+1)} {
				p.send(rawFrame{id: id, typ: typ, body: make([]byte, limit+1)})
				p.wantStatus(typ.String(), id, codes.ResourceExhausted)
			}
			p.alive("after", streamID(2*i+1))
		}
	})
}

// A request over the limit with the id of a stream ends that stream.
func TestServerOversizedRequestInUse(t *testing.T) {
	bubble(t, func(t *testing.T) {
		const limit = 1000
		st, p := serverPeer(t, WithServerLimits(Limits{MaxMessageLength: limit}))
		call := st.start(p, request(1, "HoldStream", flagRemoteOpen, nil))
		p.send(rawFrame{id: 1, typ: messageTypeRequest, body: make([]byte, limit+1)})
		p.wantStatus("an oversized request with an id in use", 1, codes.ResourceExhausted)
		st.wantStreams("the stream has ended", 0)
		if err := call.ctx.Err(); err != context.Canceled {
			t.Errorf("the handler's context: got %v, want Canceled", err)
		}
		call.returns(nil, nil)
		p.wantNothing("what the handler returns is dropped")
		p.alive("the id is free", 1)
	})
}

// The client gets Internal for a status that cannot be encoded.
func TestServerUnencodableStatus(t *testing.T) {
	bubble(t, func(t *testing.T) {
		st, p := serverPeer(t)
		call := st.start(p, request(1, "Hold", 0, nil))
		call.returns(nil, status.FromProto(&spb.Status{
			Code: int32(codes.Aborted), Message: "x", Details: []*anypb.Any{{TypeUrl: "\xff"}},
		}).Err())
		got := p.wantStatus("details that are not UTF-8", 1, codes.Internal)
		if !strings.Contains(got.GetMessage(), "cannot be encoded") {
			t.Errorf("got %q", got.GetMessage())
		}
		p.alive("after", 3)
	})
}

// Sending nil, on either side, sends a message of no bytes.
func TestClientSendNil(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, p := clientPeer(t)
		cs := open(t, context.Background(), c, fromClient, nil)
		p.next("the request")
		for _, m := range []any{nil, (*KeyValue)(nil), (*strictSize)(nil)} {
			if err := cs.SendMsg(m); err != nil {
				t.Errorf("SendMsg(%#v): %v", m, err)
			}
			p.want("an empty message", data(1, 0, nil))
		}
		c.Close()
	})
}

func TestServerSendNil(t *testing.T) {
	bubble(t, func(t *testing.T) {
		st, p := serverPeer(t)
		call := st.start(p, request(1, "HoldServer", flagRemoteClosed, nil))
		for _, m := range []any{nil, (*KeyValue)(nil), (*strictSize)(nil)} {
			if err := call.ss.SendMsg(m); err != nil {
				t.Errorf("SendMsg(%#v): %v", m, err)
			}
			p.want("an empty message", data(1, 0, nil))
		}
		if err := call.ss.SendMsg(text("x")); err != nil {
			t.Error(err)
		}
		p.want("the stream goes on", data(1, 0, text("x")))
		call.returns(nil, nil)
		p.want("the end", data(1, flagRemoteClosed|flagNoData, nil))
	})
}

// readFunc is a connection whose Read is a function.
type readFunc struct {
	net.Conn
	read func(p []byte) (int, error)
}

func (c readFunc) Read(p []byte) (int, error) { return c.read(p) }

// A Read that breaks the contract of io.Reader ends the connection.
func TestReadBreaksContract(t *testing.T) {
	for name, test := range map[string]struct {
		read func(p []byte) (int, error)
		log  string
	}{
		"more than there is room": {func(p []byte) (int, error) { return len(p) + 1, nil }, "into a buffer of"},
		"less than nothing":       {func(p []byte) (int, error) { return -1, nil }, "read of -1 bytes"},
		"nothing for ever":        {nil, io.ErrNoProgress.Error()},
	} {
		test := test
		if test.read == nil {
			var reads atomic.Int64
			test.read = func([]byte) (int, error) {
				if reads.Add(1) > 1000 {
					return 0, errors.New("it reads for ever")
				}
				return 0, nil
			}
		}
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				log := newLogRecorder()
				st := newServerTest(t, WithServerLogger(log))
				near, far := memPipe(0)
				defer near.Close()
				st.l.hand(readFunc{far, test.read})
				(&peer{t: t, conn: near}).wantClosed("a server's connection")
				log.wait(t, "failed: ", test.log)

				near, far = memPipe(0)
				defer far.Close()
				c := NewClient(readFunc{near, test.read})
				if err := goCall(t, context.Background(), c, text("x")).err("a call"); err != ErrClosed {
					t.Errorf("a call: got %v, want ErrClosed", err)
				}
			})
		})
	}
}

// lateListener accepts one more connection after it was closed.
type lateListener struct {
	*memListener
	late chan net.Conn
}

func (l lateListener) Accept() (net.Conn, error) {
	nc, err := l.memListener.Accept()
	if err != nil {
		select {
		case nc = <-l.late:
			return nc, nil
		default:
		}
	}
	return nc, err
}

// A connection that is accepted while the server ends is closed without a handshake.
func TestAcceptAfterEnd(t *testing.T) {
	for name, end := range map[string]func(*Server) error{
		"Close":    (*Server).Close,
		"Shutdown": func(s *Server) error { return s.Shutdown(context.Background()) },
	} {
		bubble(t, func(t *testing.T) {
			s := newServer(t, nil, WithServerHandshaker(handshakeFunc(func(context.Context, net.Conn) (net.Conn, any, error) {
				t.Error("there was a handshake")
				return nil, nil, errors.New("too late")
			})))
			l := lateListener{newMemListener(0), make(chan net.Conn, 1)}
			near, far := memPipe(0)
			defer near.Close()
			l.late <- far
			served := goErr(func() error { return s.Serve(context.Background(), l) })
			synctest.Wait()
			if err := end(s); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if err := <-served; err != ErrServerClosed {
				t.Errorf("%s: Serve returned %v, want ErrServerClosed", name, err)
			}
			(&peer{t: t, conn: near}).wantClosed(name)
		})
	}
}

// timedListener fails a given number of times, and records the times of Accept.
type timedListener struct {
	*memListener
	failures int
	asked    []time.Duration // since the last time
	last     time.Time
}

func (l *timedListener) Accept() (net.Conn, error) {
	l.asked = append(l.asked, time.Since(l.last))
	l.last = time.Now()
	if len(l.asked) <= l.failures {
		return nil, syscall.EMFILE
	}
	return l.memListener.Accept()
}

// While Accept fails, the pause before the next attempt doubles each time, up to a second.
// After a success it starts anew.
func TestAcceptBacksOff(t *testing.T) {
	bubble(t, func(t *testing.T) {
		log := newLogRecorder()
		s := newServer(t, nil, WithServerLogger(log))
		l := &timedListener{memListener: newMemListener(0), failures: 10, last: time.Now()}
		served := goErr(func() error { return s.Serve(context.Background(), l) })
		time.Sleep(time.Minute)
		synctest.Wait()
		l.failures = len(l.asked) + 1 // when the next one is accepted
		near := l.dial()
		defer near.Close()
		time.Sleep(time.Minute)
		synctest.Wait()
		want := []time.Duration{0, 5, 10, 20, 40, 80, 160, 320, 640, 1000, 1000}
		for i, got := range l.asked[:len(want)] {
			if got != want[i]*time.Millisecond {
				t.Errorf("try %d: %v after the last, want %v", i, got, want[i]*time.Millisecond)
			}
		}
		if n := len(l.asked); n != len(want)+2 || l.asked[n-1] != 5*time.Millisecond {
			t.Errorf("after a success: tries at %v", l.asked[len(want):])
		}
		log.wait(t, "accept failed, next try in 5ms", "too many open files")
		log.wait(t, "accept failed, next try in 1s")
		s.Close()
		if err := <-served; !errors.Is(err, ErrServerClosed) {
			t.Errorf("Serve: %v", err)
		}
	})
}

// The end of reading releases the stalled message.
func TestEndReadFreesStalledMessage(t *testing.T) {
	settle(t)
	keepLedger(t, func() {
		near, far := memPipe(0)
		defer far.Close()
		c := newConn(near, nil, defaultConnConfig)
		c.reader.stalled = &stalledMessage{st: &stream{}, m: message{buf: getBuffer(10)}}
		c.endRead()
		c.endRead()
	})
}
