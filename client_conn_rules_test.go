//go:build go1.25

package ttrpc

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// The client's rules, one test each, and its reactions when a server breaks one.

var (
	bidi       = &StreamDesc{StreamingClient: true, StreamingServer: true}
	fromClient = &StreamDesc{StreamingClient: true}
	fromServer = &StreamDesc{StreamingServer: true}
)

// open opens a stream to EchoStream; m is a proto.Message or nil.
func open(t *testing.T, ctx context.Context, c *Client, desc *StreamDesc, m any) ClientStream {
	t.Helper()
	cs, err := c.NewStream(ctx, desc, testService, "EchoStream", m)
	if err != nil {
		t.Fatal(err)
	}
	return cs
}

// wantMsg checks the next message of a stream, which must be there.
func wantMsg(t *testing.T, cs ClientStream, why, value string) {
	t.Helper()
	if m, err := recvNow(cs); err != nil || m.Value != value {
		t.Fatalf("%s: received %.80q, %v, want %.80q", why, m.Value, err, value)
	}
}

// wantEnd checks that the stream has ended with err, twice.
func wantEnd(t *testing.T, cs ClientStream, why string, want error) {
	t.Helper()
	for i := 0; i < 2; i++ {
		if m, err := recvNow(cs); err != want {
			t.Fatalf("%s: received %.80q, %v, want %v", why, m.Value, err, want)
		}
	}
}

func TestClientUnary(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, p := clientPeer(t, WithClientExtensions(false))
		for _, id := range []streamID{1, 3, 5} {
			call := goCall(t, context.Background(), c, text("hello"))
			p.want("a call", request(id, "Echo", 0, text("hello")))
			call.wantPending("before the response")
			p.send(response(id, text("hi")))
			call.wantValue("a response", "hi")
		}
		p.wantNothing("nothing but requests")
	})
}

func TestClientFramesInPieces(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, p := clientPeer(t)
		call := goCall(t, context.Background(), c, text("x"))
		p.next("the request")
		for _, b := range response(1, text("slowly")).encode() {
			p.sendBytes([]byte{b})
			synctest.Wait()
		}
		call.wantValue("byte by byte", "slowly")
	})
}

// Ids are odd and rise on the wire, however many callers there are.
func TestClientIDs(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, p := clientPeer(t)
		ctx, cancel := context.WithCancel(context.Background())
		var wg sync.WaitGroup
		const calls = 100
		for i := 0; i < calls; i++ {
			wg.Add(1)
			go func() {
				defer wg.Done()
				c.Call(ctx, testService, "Echo", text("x"), &KeyValue{})
			}()
		}
		for i := 0; i < calls; i++ {
			p.wantRequest("concurrent callers", streamID(1+2*i), 0)
		}
		cancel()
		wg.Wait()
	})
}

// After 2^31 streams ids begin again, without those in use.
func TestClientIDsBeginAgain(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, p := clientPeer(t)
		ctx, cancel := context.WithCancel(context.Background())
		open(t, ctx, c, bidi, nil)
		p.next("stream 1")
		c.conn.mu.Lock()
		c.conn.lastID = 1<<32 - 5
		c.conn.mu.Unlock()
		for _, id := range []streamID{1<<32 - 3, 1<<32 - 1, 3, 5} {
			call := goCall(t, ctx, c, text("x"))
			p.wantRequest("around the end of the ids", id, 0)
			p.send(response(id, text("y")))
			call.wantValue("around the end of the ids", "y")
		}
		cancel()
	})
}

// A response without a status is success, and so is one with code 0.
func TestClientSuccess(t *testing.T) {
	payload := mustMarshal(text("ok"))
	for name, resp := range map[string]*Response{
		"no status":        {Payload: payload},
		"empty status":     {Payload: payload, Status: &spb.Status{}},
		"message, no code": {Payload: payload, Status: &spb.Status{Message: "fine"}},
	} {
		resp := resp
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				c, p := clientPeer(t)
				call := goCall(t, context.Background(), c, text("x"))
				p.next("the request")
				p.send(rawFrame{id: 1, typ: messageTypeResponse, body: mustMarshal(resp)})
				call.wantValue(name, "ok")
			})
		})
	}
}

func TestClientEmptyResponse(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, p := clientPeer(t)
		call := goCall(t, context.Background(), c, text("x"))
		call.resp.Value = "left from before"
		p.next("the request")
		p.send(rawFrame{id: 1, typ: messageTypeResponse})
		call.wantValue("a response of no bytes is an empty message", "")
	})
}

func TestClientStatus(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, p := clientPeer(t)
		st, err := status.New(codes.DataLoss, "gone").WithDetails(text("detail"))
		if err != nil {
			t.Fatal(err)
		}
		call := goCall(t, context.Background(), c, text("x"))
		p.next("the request")
		p.send(rawFrame{id: 1, typ: messageTypeResponse, body: mustMarshal(&Response{Status: st.Proto()})})
		got := status.Convert(call.err("an error"))
		if !proto.Equal(got.Proto(), st.Proto()) {
			t.Errorf("got %v, want %v", got, st)
		}
	})
}

// A client must ignore frames for streams that it does not have, and of types that it
// does not know.
func TestClientIgnores(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, p := clientPeer(t)
		call := goCall(t, context.Background(), c, text("x"))
		p.next("the request")
		p.send(
			response(3, text("of nobody")),
			response(2, text("even")),
			response(0, text("zero")),
			data(7, flagRemoteClosed, text("of nobody")),
			rawFrame{id: 1, typ: 0, body: []byte("unknown type")},
			rawFrame{id: 1, typ: messageTypeRequest, body: []byte("from a server")},
			rawFrame{id: 1, typ: 4, flags: 0xff},
			rawFrame{id: 2, typ: 0xff},
			rawFrame{},
		)
		call.wantPending("nothing of that is the response")
		p.send(response(1, text("this is")), response(1, text("again")))
		call.wantValue("the response", "this is")
		p.wantNothing("a client answers nothing")
	})
}

func TestClientGarbledResponse(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, p := clientPeer(t)
		for i, body := range []string{"\xff", "\x0a\xff", "\x0a\x02\x12\xff", "\x0a\x03\x12\x01\xff", "\x12\x01\xff"} {
			id := streamID(1 + 2*i)
			call := goCall(t, context.Background(), c, text("x"))
			p.next("the request")
			p.send(rawFrame{id: id, typ: messageTypeResponse, body: []byte(body)})
			if err := call.err(body); err == nil || errors.Is(err, ErrClosed) {
				t.Errorf("%q: got %v, want an error of that call alone", body, err)
			}
		}
		call := goCall(t, context.Background(), c, text("x"))
		p.next("the request")
		p.send(response(11, text("fine")))
		call.wantValue("the connection goes on", "fine")
	})
}

func TestClientDataOnUnaryCall(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, p := clientPeer(t)
		first := goCall(t, context.Background(), c, text("x"))
		p.next("a request")
		second := goCall(t, context.Background(), c, text("x"))
		p.next("another")
		p.send(data(1, 0, text("data")), response(1, text("late")))
		if err := first.err("data on a unary call"); !errors.Is(err, ErrProtocol) {
			t.Errorf("data on a unary call: got %v, want ErrProtocol", err)
		}
		p.send(response(3, text("fine")))
		second.wantValue("the other call", "fine")
	})
}

// The request of a stream says whether the client will send messages.
func TestClientOpensStream(t *testing.T) {
	withEmpty := request(1, "EchoStream", flagRemoteOpen, nil)
	withEmpty.body = append(withEmpty.body, 3<<3|2, 0)
	for _, test := range []struct {
		name string
		desc *StreamDesc
		m    any
		want rawFrame
	}{
		{"client's, no message yet", fromClient, nil, request(1, "EchoStream", flagRemoteOpen|flagNoData, nil)},
		{"both, no message yet", bidi, nil, request(1, "EchoStream", flagRemoteOpen|flagNoData, nil)},
		{"both, with a message", bidi, text("first"), request(1, "EchoStream", flagRemoteOpen, text("first"))},
		{"both, with an empty message", bidi, text(""), withEmpty},
		{"server's", fromServer, text("only"), request(1, "EchoStream", flagRemoteClosed, text("only"))},
		{"server's, an empty request", fromServer, text(""), request(1, "EchoStream", flagRemoteClosed, text(""))},
	} {
		test := test
		t.Run(test.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				c, p := clientPeer(t, WithClientExtensions(false))
				open(t, context.Background(), c, test.desc, test.m)
				p.want("the request", test.want)
				p.wantNothing("nothing more")
				c.Close()
			})
		})
	}
}

func TestClientSends(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, p := clientPeer(t)
		cs := open(t, context.Background(), c, bidi, nil)
		p.next("the request")
		for _, value := range []string{"one", "", "three"} {
			if err := cs.SendMsg(text(value)); err != nil {
				t.Fatal(err)
			}
			p.want("a message", data(1, 0, text(value)))
		}
		if err := cs.CloseSend(); err != nil {
			t.Fatal(err)
		}
		p.want("CloseSend", data(1, flagRemoteClosed|flagNoData, nil))
		if err := cs.CloseSend(); err != ErrStreamClosed {
			t.Errorf("CloseSend again: got %v, want ErrStreamClosed", err)
		}
		if err := cs.SendMsg(text("x")); err != ErrStreamClosed {
			t.Errorf("SendMsg after CloseSend: got %v, want ErrStreamClosed", err)
		}
		p.wantNothing("after the last message")
		p.send(data(1, 0, text("still")), data(1, flagRemoteClosed|flagNoData, nil))
		wantMsg(t, cs, "after CloseSend", "still")
		wantEnd(t, cs, "the end", io.EOF)
	})
}

func TestClientDoesNotSend(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, p := clientPeer(t)
		cs := open(t, context.Background(), c, fromServer, text("x"))
		p.next("the request")
		if err := cs.SendMsg(text("x")); !errors.Is(err, ErrProtocol) {
			t.Errorf("SendMsg on a server's stream: got %v, want ErrProtocol", err)
		}
		if err := cs.CloseSend(); !errors.Is(err, ErrProtocol) {
			t.Errorf("CloseSend on a server's stream: got %v, want ErrProtocol", err)
		}
		p.wantNothing("nothing is sent")
		c.Close()
	})
}

// How a stream ends for the client: every way in which a server may say so.
func TestClientStreamEnds(t *testing.T) {
	for _, test := range []struct {
		name string
		desc *StreamDesc
		last []rawFrame
		want []string
		end  error
	}{
		{"no data", bidi, []rawFrame{data(1, flagRemoteClosed|flagNoData, nil)}, nil, io.EOF},
		{"data", bidi, []rawFrame{data(1, flagRemoteClosed, text("last"))}, []string{"last"}, io.EOF},
		{"empty data", bidi, []rawFrame{data(1, flagRemoteClosed, nil)}, []string{""}, io.EOF},
		{"response", bidi, []rawFrame{response(1, text("last"))}, []string{"last"}, io.EOF},
		{"data, then response", bidi, []rawFrame{data(1, 0, text("a")), response(1, text("b"))}, []string{"a", "b"}, io.EOF},
		{"a Go server's SendMsg(nil)", bidi, []rawFrame{data(1, flagNoData, nil), data(1, flagRemoteClosed|flagNoData, nil)}, []string{""}, io.EOF},
		{"data without a message", bidi, []rawFrame{data(1, flagRemoteClosed|flagNoData, text("no"))}, nil, io.EOF},
		{"response to a client's stream", fromClient, []rawFrame{response(1, text("sum"))}, []string{"sum"}, io.EOF},
	} {
		test := test
		t.Run(test.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				c, p := clientPeer(t)
				cs := open(t, context.Background(), c, test.desc, nil)
				p.next("the request")
				p.send(test.last...)
				p.send(data(1, 0, text("after the end")), response(1, text("after the end")))
				synctest.Wait()
				wantNoStreams(t, c)
				if err := cs.SendMsg(text("x")); err != io.EOF {
					t.Errorf("SendMsg after the end: got %v, want io.EOF", err)
				}
				if err := cs.CloseSend(); err != nil {
					t.Errorf("CloseSend after the end: %v", err)
				}
				p.wantNothing("nothing is sent after the end")
				for _, want := range test.want {
					wantMsg(t, cs, "a message", want)
				}
				wantEnd(t, cs, "the end", test.end)
			})
		})
	}
}

func TestClientStreamFails(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, p := clientPeer(t)
		cs := open(t, context.Background(), c, bidi, nil)
		p.next("the request")
		p.send(data(1, 0, text("first")), failure(1, codes.Aborted, "enough"), data(1, 0, text("late")))
		synctest.Wait()
		wantNoStreams(t, c)
		wantMsg(t, cs, "what came before the error", "first")
		for i := 0; i < 2; i++ {
			if _, err := recvNow(cs); status.Code(err) != codes.Aborted || status.Convert(err).Message() != "enough" {
				t.Errorf("the error: got %v", err)
			}
		}
	})
}

// Data from a server that does not stream ends the stream for its receivers, even if the
// server has ended it as well, and for its senders.
func TestClientUnexpectedData(t *testing.T) {
	for _, test := range []struct {
		name   string
		frames []rawFrame
		send   error // of a message afterwards
	}{
		{"alone", []rawFrame{data(1, 0, text("x"))}, ErrProtocol},
		{"twice", []rawFrame{data(1, 0, text("x")), data(1, 0, text("y"))}, ErrProtocol},
		{"as the last", []rawFrame{data(1, flagRemoteClosed, text("x"))}, io.EOF},
		{"before the response", []rawFrame{data(1, 0, text("x")), response(1, text("y"))}, io.EOF},
	} {
		bubble(t, func(t *testing.T) {
			c, p := clientPeer(t)
			cs := open(t, context.Background(), c, fromClient, nil)
			p.next("the request")
			p.send(test.frames...)
			synctest.Wait()
			for i := 0; i < 3; i++ {
				if _, err := recvNow(cs); !errors.Is(err, ErrProtocol) {
					t.Errorf("%s: RecvMsg %d: got %v, want ErrProtocol", test.name, i+1, err)
				}
			}
			wantNoStreams(t, c)
			if err := cs.SendMsg(text("more")); !errors.Is(err, test.send) {
				t.Errorf("%s: SendMsg: got %v, want %v", test.name, err, test.send)
			}
		})
	}
}

func TestClientBadMessage(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, p := clientPeer(t)
		cs := open(t, context.Background(), c, bidi, nil)
		p.next("the request")
		p.send(rawFrame{id: 1, typ: messageTypeData, body: []byte{0xff}}, data(1, flagRemoteClosed, text("good")))
		if _, err := recvNow(cs); err == nil || err == errNothingYet {
			t.Errorf("a message that is none: got %v", err)
		}
		wantMsg(t, cs, "the stream goes on", "good")
		wantEnd(t, cs, "the end", io.EOF)
	})
}

func TestClientOversized(t *testing.T) {
	const limit = 1000
	bubble(t, func(t *testing.T) {
		c, p := clientPeer(t, WithClientLimits(Limits{MaxMessageLength: limit}))
		var tooLong *OversizedMessageErr

		// Sent messages.
		call := goCall(t, context.Background(), c, text(strings.Repeat("x", limit)))
		err := call.err("an oversized request")
		if !errors.As(err, &tooLong) || status.Code(err) != codes.ResourceExhausted {
			t.Errorf("an oversized request: got %v", err)
		} else if tooLong.RejectedLength() <= limit || tooLong.MaximumLength() != limit {
			t.Errorf("an oversized request: %d bytes of at most %d", tooLong.RejectedLength(), tooLong.MaximumLength())
		}
		cs := open(t, context.Background(), c, bidi, nil)
		p.wantRequest("nothing of the oversized request was sent", 1, flagRemoteOpen|flagNoData)
		if err := cs.SendMsg(text(strings.Repeat("x", limit))); !errors.As(err, &tooLong) {
			t.Errorf("an oversized message: got %v", err)
		}
		p.wantNothing("nothing of the oversized message was sent")
		fits := strings.Repeat("x", limit-3)
		if err := cs.SendMsg(text(fits)); err != nil {
			t.Errorf("a message of just the limit: %v", err)
		}
		p.want("a message of just the limit", data(1, 0, text(fits)))

		// Received messages.
		call = goCall(t, context.Background(), c, text("x"))
		p.wantRequest("a call", 3, 0)
		p.send(data(1, 0, text(fits)), rawFrame{id: 3, typ: messageTypeResponse, body: make([]byte, limit+1)})
		if err := call.err("an oversized response"); !errors.As(err, &tooLong) || status.Code(err) != codes.ResourceExhausted {
			t.Errorf("an oversized response: got %v", err)
		}
		p.send(rawFrame{id: 1, typ: messageTypeData, body: make([]byte, limit+1)}, data(1, 0, text("late")))
		wantMsg(t, cs, "what came before", fits)
		for i := 0; i < 2; i++ {
			if _, err := recvNow(cs); !errors.As(err, &tooLong) {
				t.Errorf("oversized data: got %v", err)
			}
		}
		wantNoStreams(t, c)
		call = goCall(t, context.Background(), c, text("x"))
		p.wantRequest("the connection goes on", 5, 0)
		p.send(rawFrame{id: 99, typ: 9, body: make([]byte, limit+1)}, response(5, text("fine")))
		call.wantValue("the connection goes on", "fine")
	})
}

func TestClientReservedByte(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, p := clientPeer(t)
		call := goCall(t, context.Background(), c, text("x"))
		p.next("the request")
		p.sendBytes([]byte{1, 0, 0, 0, 0, 0, 0, 1, 2, 0})
		if err := call.err("the first byte of a header is not zero"); !errors.Is(err, ErrProtocol) || !errors.Is(err, ErrClosed) {
			t.Errorf("got %v, want ErrProtocol and ErrClosed", err)
		}
		p.wantClosed("the first byte of a header is not zero")
	})
}

// The end of the connection, in every way in which it can end.
func TestClientConnectionEnds(t *testing.T) {
	for name, end := range map[string]func(p *peer){
		"close":        func(p *peer) { p.conn.Close() },
		"half-close":   func(p *peer) { p.conn.CloseWrite() },
		"in a header":  func(p *peer) { p.sendBytes([]byte{0, 0, 0}); p.conn.CloseWrite() },
		"in a payload": func(p *peer) { p.sendBytes([]byte{0, 0, 0, 5, 0, 0, 0, 1, 2, 0, 'x'}); p.conn.Close() },
		"oversized":    func(p *peer) { p.sendBytes([]byte{0, 255, 0, 5, 0, 0, 0, 9, 2, 0, 'x'}); p.conn.Close() },
	} {
		end := end
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				var closed atomic.Int32
				c, p := clientPeer(t, WithOnClose(func() { closed.Add(1) }))
				call := goCall(t, context.Background(), c, text("x"))
				p.next("the request")
				cs := open(t, context.Background(), c, bidi, nil)
				p.next("the other")
				end(p)
				if err := call.err("the end"); err != ErrClosed {
					t.Errorf("a call: got %v, want ErrClosed, bare", err)
				}
				wantEnd(t, cs, "a stream", ErrClosed)
				if err := cs.SendMsg(text("x")); err != ErrClosed {
					t.Errorf("SendMsg: got %v, want ErrClosed, bare", err)
				}
				if err := goCall(t, context.Background(), c, text("x")).err("later"); err != ErrClosed {
					t.Errorf("a later call: got %v, want ErrClosed, bare", err)
				}
				if _, err := c.NewStream(context.Background(), bidi, testService, "EchoStream", nil); err != ErrClosed {
					t.Errorf("a later stream: got %v, want ErrClosed, bare", err)
				}
				if n, _ := tableOf(c.conn); n > 0 {
					t.Errorf("the connection that has ended has %d streams", n)
				}
				p.wantClosed("the client closes its end, too")
				c.Close()
				c.Close()
				synctest.Wait()
				if n := closed.Load(); n != 1 {
					t.Errorf("OnClose was called %d times", n)
				}
			})
		})
	}
}

func TestClientReadError(t *testing.T) {
	for _, want := range []error{errNoMemory, syscall.ETIMEDOUT, io.ErrShortBuffer} {
		want := want
		bubble(t, func(t *testing.T) {
			c, p := clientPeer(t)
			call := goCall(t, context.Background(), c, text("x"))
			p.next("the request")
			c.conn.ch.conn.(*memConn).failRead(want)
			if err := call.err("a read error"); err != ErrClosed {
				t.Errorf("got %v, want ErrClosed, bare", err)
			}
			p.wantClosed(want.Error())
		})
	}
}

// A response that is there when the connection ends is delivered.
func TestClientResponseThenClose(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, p := clientPeer(t)
		call := goCall(t, context.Background(), c, text("x"))
		p.next("the request")
		cs := open(t, context.Background(), c, bidi, nil)
		p.next("the other")
		p.send(data(3, 0, text("one")), data(3, flagRemoteClosed, text("two")), response(1, text("in time")))
		p.conn.Close()
		call.wantValue("the response came before the end", "in time")
		wantMsg(t, cs, "and data", "one")
		wantMsg(t, cs, "and data", "two")
		wantEnd(t, cs, "and the end of the stream", io.EOF)
	})
}

// When nothing can be written any more the client goes on reading for a while:
// the server may have answered before it went away.
func TestClientWriteError(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, p := clientPeer(t)
		first := goCall(t, context.Background(), c, text("x"))
		p.next("the request")
		second := goCall(t, context.Background(), c, text("x"))
		p.next("another")
		c.conn.ch.conn.(*memConn).failWrite(errPipe)
		third := goCall(t, context.Background(), c, text("x"))
		synctest.Wait()
		time.Sleep(lateLimit - time.Millisecond)
		second.wantPending("while the client goes on reading")
		p.send(response(1, text("in time")))
		first.wantValue("a response after writing has failed", "in time")
		if err := goCall(t, context.Background(), c, text("x")).err("a call after writing has failed"); err != ErrClosed {
			t.Errorf("a call after writing has failed: got %v, want ErrClosed", err)
		}
		time.Sleep(2 * time.Millisecond)
		for _, call := range []*clientCall{second, third} {
			if err := call.err("after the limit"); err != ErrClosed {
				t.Errorf("after the limit: got %v, want ErrClosed", err)
			}
		}
		p.wantClosed("after the limit")
	})
}

func TestClientCancel(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, p := clientPeer(t)
		ctx, cancel := context.WithCancel(context.Background())
		call := goCall(t, ctx, c, text("x"))
		p.next("the request")
		cs := open(t, ctx, c, bidi, nil)
		p.next("the other")
		p.send(data(3, 0, text("unread")))
		synctest.Wait()
		cancel()
		if err := call.err("cancelled"); err != context.Canceled {
			t.Errorf("a cancelled call: got %v, want context.Canceled, bare", err)
		}
		wantNoStreams(t, c)
		if err := cs.SendMsg(text("x")); err != context.Canceled {
			t.Errorf("SendMsg: got %v, want context.Canceled, bare", err)
		}
		wantEnd(t, cs, "a cancelled stream", context.Canceled)
		p.wantNothing("the protocol has no message for it")
		p.send(response(1, text("late")), data(3, 0, text("late")), data(3, flagRemoteClosed, nil))
		call = goCall(t, context.Background(), c, text("x"))
		p.wantRequest("the connection goes on", 5, 0)
		p.send(response(5, text("fine")))
		call.wantValue("late frames are dropped", "fine")
	})
}

func TestClientDeadline(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, p := clientPeer(t)
		start := time.Now()
		ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
		defer cancel()
		time.Sleep(time.Second)
		call := goCall(t, ctx, c, text("x"))
		if got := time.Duration(p.wantRequest("a call with a deadline", 1, 0).TimeoutNano); got != 2*time.Second {
			t.Errorf("the request says %v, want what is left: 2s", got)
		}
		open(t, ctx, c, bidi, nil)
		if got := time.Duration(p.wantRequest("a stream", 3, flagRemoteOpen|flagNoData).TimeoutNano); got != 2*time.Second {
			t.Errorf("the stream's request says %v, want what is left: 2s", got)
		}
		call.wantPending("before the deadline")
		if err := <-call.result; err != context.DeadlineExceeded {
			t.Errorf("at the deadline: got %v, want context.DeadlineExceeded, bare", err)
		}
		if got := time.Since(start); got != 3*time.Second {
			t.Errorf("the call returned after %v, want 3s", got)
		}
		synctest.Wait()
		wantNoStreams(t, c)
		if err := goCall(t, ctx, c, text("x")).err("after the deadline"); err != context.DeadlineExceeded {
			t.Errorf("a call after the deadline: got %v, want context.DeadlineExceeded", err)
		}
		if _, err := c.NewStream(ctx, bidi, testService, "EchoStream", nil); err != context.DeadlineExceeded {
			t.Errorf("a stream after the deadline: got %v, want context.DeadlineExceeded", err)
		}
		p.wantNothing("what is late is not sent")
		goCall(t, context.Background(), c, text("x"))
		if got := p.wantRequest("without a deadline", 5, 0).TimeoutNano; got != 0 {
			t.Errorf("the request of a call without a deadline says %v", got)
		}
	})
}

func TestClientMetadata(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, p := clientPeer(t)
		md := MD{}
		md.Append("Key", "one", "two")
		ctx, cancel := context.WithCancel(WithMetadata(context.Background(), md))
		defer cancel()
		check := func(why string, req *Request) {
			t.Helper()
			want := &Request{Metadata: []*KeyValue{{Key: "key", Value: "one"}, {Key: "key", Value: "two"}}}
			if got := (&Request{Metadata: req.Metadata}); !proto.Equal(got, want) {
				t.Errorf("%s: got %v, want %v", why, got, want)
			}
		}
		goCall(t, ctx, c, text("x"))
		check("a call", p.wantRequest("a call", 1, 0))
		open(t, ctx, c, bidi, nil)
		check("a stream", p.wantRequest("a stream", 3, flagRemoteOpen|flagNoData))
		open(t, ctx, c, fromServer, text("x"))
		check("a server's stream", p.wantRequest("a server's stream", 5, flagRemoteClosed))
		cancel()
		synctest.Wait()
	})
}
