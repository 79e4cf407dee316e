//go:build go1.25

package ttrpc

import (
	"context"
	"errors"
	"io"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func TestServerDataOnUnaryCall(t *testing.T) {
	bubble(t, func(t *testing.T) {
		st, p := serverPeer(t)
		p.send(request(1, "Hold", 0, nil))
		call := st.call()
		p.send(data(1, 0, text("x")))
		p.wantStatus("data on a unary call", 1, codes.InvalidArgument)
		st.wantStreams("the call is over", 0)
		if call.ctx.Err() != context.Canceled {
			t.Errorf("the handler's context: got %v, want Canceled", call.ctx.Err())
		}
		call.returns(text("late"), nil)
		p.wantNothing("the handler's late response")
		p.alive("after", 3)
	})
}

func TestServerDataWithoutStream(t *testing.T) {
	bubble(t, func(t *testing.T) {
		st, p := serverPeer(t)
		p.alive("first", 3)
		p.send(data(5, 0, text("x")))
		p.wantStatus("data on a stream that never was", 5, codes.InvalidArgument)
		p.send(data(3, 0, text("x")), data(1, flagRemoteClosed|flagNoData, nil))
		p.wantNothing("data on a stream that may have ended")
		st.wantStreams("late data", 0)
		p.alive("after", 7)
	})
}

func TestServerDataAfterLast(t *testing.T) {
	for name, open := range map[string]func(p *peer){
		"no client stream": func(p *peer) { p.send(request(1, "HoldServer", flagRemoteClosed, text("only"))) },
		"closed": func(p *peer) {
			p.send(request(1, "HoldStream", flagRemoteOpen, text("only")), data(1, flagRemoteClosed|flagNoData, nil))
		},
		"closed with data": func(p *peer) {
			p.send(request(1, "HoldStream", flagRemoteOpen, nil), data(1, flagRemoteClosed, text("only")))
		},
		"closed by the request": func(p *peer) { p.send(request(1, "HoldClient", flagRemoteClosed, text("only"))) },
	} {
		open := open
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				st, p := serverPeer(t)
				open(p)
				call := st.call()
				call.wantRecv(t, "the only message", "only")
				call.wantRecvErr(t, "after it", io.EOF)
				p.send(data(1, 0, text("too late")))
				p.wantStatus("data after the last message", 1, codes.InvalidArgument)
				st.wantStreams("the stream is over", 0)
				if err := call.ss.SendMsg(text("x")); !errors.Is(err, ErrProtocol) && err != ErrStreamClosed && err != context.Canceled {
					t.Errorf("the handler sends: got %v", err)
				}
				call.returns(text("x"), nil)
				p.wantNothing("after the final frame")
			})
		})
	}
}

func TestServerDataFlags(t *testing.T) {
	bubble(t, func(t *testing.T) {
		st, p := serverPeer(t)
		p.send(request(1, "HoldStream", flagRemoteOpen, nil))
		call := st.call()
		p.send(
			data(1, flagNoData, nil),        // no message
			data(1, flagNoData, text("no")), // none either
			data(1, 0, nil),                 // an empty message
			data(1, flagRemoteClosed, text("last")),
		)
		call.wantRecv(t, "zero bytes are a message", "")
		call.wantRecv(t, "data with remote closed", "last")
		call.wantRecvErr(t, "after remote closed", io.EOF)
		call.wantRecvErr(t, "and again", io.EOF)
		st.wantStreams("the handler may still send", 1)
		if err := call.ss.SendMsg(text("still")); err != nil {
			t.Error(err)
		}
		p.want("the server sends after the client has closed", data(1, 0, text("still")))
		call.returns(nil, nil)
		p.want("the end", data(1, flagRemoteClosed|flagNoData, nil))
	})
}

// How a stream ends: with data when the server streams, else with a response,
// and with a response for an error.
func TestServerStreamEnds(t *testing.T) {
	refused := status.Error(codes.PermissionDenied, "no")
	for _, test := range []struct {
		method string
		m      any
		err    error
		want   rawFrame
	}{
		{"HoldStream", nil, nil, data(1, flagRemoteClosed|flagNoData, nil)},
		{"HoldStream", (*KeyValue)(nil), nil, data(1, flagRemoteClosed|flagNoData, nil)},
		{"HoldStream", text("last"), nil, data(1, flagRemoteClosed, text("last"))},
		{"HoldStream", nil, refused, failure(1, codes.PermissionDenied, "no")},
		{"HoldServer", nil, nil, data(1, flagRemoteClosed|flagNoData, nil)},
		{"HoldServer", nil, refused, failure(1, codes.PermissionDenied, "no")},
		{"HoldClient", text("sum"), nil, response(1, text("sum"))},
		{"HoldClient", nil, refused, failure(1, codes.PermissionDenied, "no")},
	} {
		test := test
		bubble(t, func(t *testing.T) {
			st, p := serverPeer(t)
			p.send(request(1, test.method, kindOf(test.method), nil))
			call := st.call()
			call.returns(test.m, test.err)
			p.want(test.method, test.want)
			st.wantStreams("the stream has ended", 0)
			if call.ctx.Err() != context.Canceled {
				t.Errorf("%s: the handler's context: got %v, want Canceled", test.method, call.ctx.Err())
			}
			p.wantNothing("after the final frame")
		})
	}
}

// A client's stream whose handler returns no message is a mistake of the
// handler's, which must not hang or crash.
func TestServerNoResponseMessage(t *testing.T) {
	for _, method := range []string{"Hold", "HoldClient"} {
		for _, m := range []any{nil, (*KeyValue)(nil), "no message"} {
			method, m := method, m
			bubble(t, func(t *testing.T) {
				st, p := serverPeer(t)
				p.send(request(1, method, kindOf(method), nil))
				st.call().returns(m, nil)
				p.wantStatus("no message", 1, codes.Internal)
				p.alive("after", 3)
			})
		}
	}
}

// Nothing is written on a stream after its final frame.
func TestServerSendAfterEnd(t *testing.T) {
	bubble(t, func(t *testing.T) {
		st, p := serverPeer(t)
		p.send(request(1, "HoldStream", flagRemoteOpen, nil))
		call := st.call()
		call.returns(nil, nil)
		p.want("the end", data(1, flagRemoteClosed|flagNoData, nil))
		if err := call.ss.SendMsg(text("late")); err != ErrStreamClosed {
			t.Errorf("SendMsg after the handler returned: got %v, want ErrStreamClosed", err)
		}
		if _, err := recvNow(call.ss); err == nil || err == errNothingYet {
			t.Errorf("RecvMsg after the handler returned: got %v", err)
		}
		p.wantNothing("after the final frame")
		p.send(data(1, 0, text("late")), data(1, flagRemoteClosed|flagNoData, nil))
		p.wantNothing("the client does not know yet")
	})
}

func TestServerBadMessage(t *testing.T) {
	bubble(t, func(t *testing.T) {
		st, p := serverPeer(t)
		req := &Request{Service: testService, Method: "Echo", Payload: []byte{0xff}}
		p.send(requestFrame(1, 0, req))
		p.wantStatus("a message that is none", 1, codes.InvalidArgument)
		p.send(request(3, "HoldStream", flagRemoteOpen, nil), rawFrame{id: 3, typ: messageTypeData, body: []byte{0xff}}, data(3, 0, text("good")))
		call := st.call()
		if _, err := recvNow(call.ss); status.Code(err) != codes.InvalidArgument {
			t.Errorf("a message that is none: got %v, want InvalidArgument", err)
		}
		call.wantRecv(t, "the stream goes on", "good")
		call.returns(nil, nil)
		p.want("the end", data(3, flagRemoteClosed|flagNoData, nil))
	})
}
