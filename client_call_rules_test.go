//go:build go1.25

package ttrpc

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// The client's rules, one test each, and its reactions when a server breaks one.

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
