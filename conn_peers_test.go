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
	"google.golang.org/protobuf/proto"
)

// These tests run scripts of other implementations: PROTOCOL.md, section "Other peers". The
// module interop runs real peers; the scripts stand for those with streams and for those that
// are not available. Each frame of the library is compared completely.

// A foreignServer returns the frames with which it answers a frame, and whether it then
// ends the connection. Its methods Echo and EchoStream echo, except that it holds an Echo
// of "hold".
type foreignServer func(f rawFrame) (answers []rawFrame, ends bool)

// rustServer is the server of ttrpc-rust 0.9, on a single thread.
func rustServer(f rawFrame) (answers []rawFrame, ends bool) {
	refusal := []rawFrame{failure(f.id, codes.InvalidArgument, "invalid")}
	switch {
	case f.id%2 == 0:
		return refusal, false
	case f.typ == messageTypeRequest && f.flags == 0:
		return echoed(f), false
	case f.typ == messageTypeRequest && f.flags.has(flagRemoteClosed): // a stream of the server's
		return []rawFrame{data(f.id, 0, firstMessage(f)), data(f.id, flagRemoteClosed|flagNoData, nil)}, false
	case f.typ == messageTypeRequest && f.flags.has(flagNoData):
		return nil, false
	case f.typ == messageTypeRequest: // a message even where the request has none
		return []rawFrame{data(f.id, 0, firstMessage(f))}, false
	case f.typ != messageTypeData:
		return nil, false
	case f.flags == flagRemoteClosed|flagNoData:
		return []rawFrame{f}, false
	case f.flags.has(flagRemoteClosed):
		return refusal, false
	}
	return []rawFrame{f}, false
}

// trapezeServer is the server of trapeze, without streams.
func trapezeServer(f rawFrame) (answers []rawFrame, ends bool) {
	if f.typ != messageTypeRequest || f.flags != 0 {
		return []rawFrame{failure(f.id, codes.InvalidArgument, "invalid")}, false
	}
	return echoed(f), false
}

// swiftServer is the server of ttrpc-swift, without streams.
func swiftServer(f rawFrame) (answers []rawFrame, ends bool) {
	if f.typ == messageTypeRequest && f.flags == 0 {
		return echoed(f), false
	}
	return nil, f.typ != messageTypeRequest
}

// firstMessage returns the message of a request.
func firstMessage(f rawFrame) *KeyValue {
	req, m := &Request{}, &KeyValue{}
	if err := errors.Join(proto.Unmarshal(f.body, req), proto.Unmarshal(req.Payload, m)); err != nil {
		panic(err)
	}
	return m
}

func echoed(f rawFrame) []rawFrame {
	m := firstMessage(f)
	if m.Value == "hold" {
		return nil
	}
	return []rawFrame{response(f.id, m)}
}

// want checks that the client sends exactly these frames next, and answers each of them.
func (react foreignServer) want(p *peer, why string, frames ...rawFrame) {
	p.t.Helper()
	for _, f := range frames {
		p.want(why, f)
		answers, ends := react(f)
		if ends {
			p.t.Fatalf("%s: the server ends the connection at %v", why, f)
		}
		p.send(answers...)
	}
	p.wantNothing(why)
}

// A server that knows only requests gets nothing else, however a call ends.
func TestForeignServerUnary(t *testing.T) {
	for name, server := range map[string]foreignServer{"rust": rustServer, "trapeze": trapezeServer, "swift": swiftServer} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				c, p := clientPeer(t, WithClientKeepalive(testKeepalive))
				first := goCall(t, context.Background(), c, text("first"))
				server.want(p, "the first call offers extensions", withOffer(request(1, "Echo", 0, text("first"))))
				first.wantValue("the first call", "first")

				ctx, cancel := context.WithCancel(context.Background())
				held := goCall(t, ctx, c, text("hold"))
				server.want(p, "the answer knew none", request(3, "Echo", 0, text("hold")))
				cancel()
				if err := held.err("cancelled"); err != context.Canceled {
					t.Errorf("a cancelled call: got %v", err)
				}
				server.want(p, "a cancelled call has no frame")

				ctx, cancel = context.WithTimeout(context.Background(), time.Second)
				defer cancel()
				late := goCall(t, ctx, c, text("hold"))
				req := &Request{Service: testService, Method: "Echo", Payload: mustMarshal(text("hold")), TimeoutNano: int64(time.Second)}
				server.want(p, "a call with a deadline", requestFrame(5, 0, req))
				time.Sleep(time.Second)
				if err := late.err("late"); err != context.DeadlineExceeded {
					t.Errorf("a call past its deadline: got %v", err)
				}
				time.Sleep(time.Hour)
				server.want(p, "an idle connection has no frames")

				p.send(response(3, text("late")), response(5, text("later")))
				last := goCall(t, context.Background(), c, text(""))
				server.want(p, "the last call", request(7, "Echo", 0, text("")))
				last.wantValue("the last call", "")
			})
		})
	}
}

// A Rust server delivers each message once, and delivers nothing for a frame without a
// message.
func TestForeignServerStreams(t *testing.T) {
	for _, test := range []struct {
		name  string
		desc  *StreamDesc
		first any      // in the request
		more  []string // in data
		want  []rawFrame
	}{
		{"both ways", bidi, nil, []string{"a", "", "c"}, []rawFrame{
			withOffer(request(1, "EchoStream", flagRemoteOpen|flagNoData, nil)),
			data(1, 0, text("a")), data(1, 0, text("")), data(1, 0, text("c")), data(1, flagRemoteClosed|flagNoData, nil),
		}},
		{"both ways, with a message", bidi, text("first"), []string{"a"}, []rawFrame{
			withOffer(request(1, "EchoStream", flagRemoteOpen, text("first"))),
			data(1, 0, text("a")), data(1, flagRemoteClosed|flagNoData, nil),
		}},
		{"no message", bidi, nil, nil, []rawFrame{
			withOffer(request(1, "EchoStream", flagRemoteOpen|flagNoData, nil)), data(1, flagRemoteClosed|flagNoData, nil),
		}},
		{"the server's", fromServer, text("only"), nil, []rawFrame{
			withOffer(request(1, "EchoStream", flagRemoteClosed, text("only"))),
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				c, p := clientPeer(t)
				cs := open(t, context.Background(), c, test.desc, test.first)
				var want []string
				if test.first != nil {
					want = append(want, test.first.(*KeyValue).Value)
				}
				for _, value := range test.more {
					if err := cs.SendMsg(text(value)); err != nil {
						t.Fatal(err)
					}
					want = append(want, value)
				}
				if test.desc.StreamingClient {
					if err := cs.CloseSend(); err != nil {
						t.Fatal(err)
					}
				}
				foreignServer(rustServer).want(p, "the stream", test.want...)
				for _, value := range want {
					wantMsg(t, cs, "an echo", value)
				}
				wantEnd(t, cs, "the end", io.EOF)
				wantNoStreams(t, c)
			})
		})
	}
}

// On several threads a Rust server sends the frames of a stream in any order. The client
// loses only the messages that the end of the stream has overtaken.
func TestForeignServerReorders(t *testing.T) {
	for name, frames := range map[string][]rawFrame{
		"end":      {data(1, flagRemoteClosed|flagNoData, nil), data(1, 0, text("b"))},
		"response": {failure(1, codes.OK, ""), data(1, 0, text("b"))},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				c, p := clientPeer(t)
				cs := open(t, context.Background(), c, bidi, nil)
				p.want("the request", withOffer(request(1, "EchoStream", flagRemoteOpen|flagNoData, nil)))
				p.send(data(1, 0, text("c")), data(1, 0, text("a")))
				p.send(frames...)
				synctest.Wait()
				wantMsg(t, cs, "the first in the order of the wire", "c")
				wantMsg(t, cs, "the second", "a")
				if _, err := recvNow(cs); name == "end" && err != io.EOF {
					t.Errorf("the end: got %v", err)
				}
				wantNoStreams(t, c)
				p.wantNothing("a lost message is ignored")
				call := goCall(t, context.Background(), c, text("after"))
				foreignServer(rustServer).want(p, "the connection goes on", request(3, "Echo", 0, text("after")))
				call.wantValue("after", "after")
			})
		})
	}
}

// An exchange is a step of a scripted client.
type exchange struct {
	why  string
	send []rawFrame
	want []rawFrame
}

// foreignClients returns scripts of clients, by name, with everything that the server
// sends.
func foreignClients() map[string][]exchange {
	return map[string][]exchange{
		// It fails a call on a frame of an unknown type, and takes any other end of a
		// stream than data without a message for an error.
		"rust, streams": {
			{"a stream", []rawFrame{request(1, "EchoStream", flagRemoteOpen|flagNoData, nil)}, nil},
			{"a message", []rawFrame{data(1, 0, text("a"))}, []rawFrame{data(1, 0, text("a"))}},
			{"an empty message", []rawFrame{data(1, 0, text(""))}, []rawFrame{data(1, 0, text(""))}},
			{"the end", []rawFrame{data(1, flagRemoteClosed|flagNoData, nil)}, []rawFrame{data(1, flagRemoteClosed|flagNoData, nil)}},
			{"the server's stream", []rawFrame{request(3, "Repeat", flagRemoteClosed, text("ab"))},
				[]rawFrame{data(3, 0, text("ab")), data(3, 0, text("ab")), data(3, flagRemoteClosed|flagNoData, nil)}},
			{"an empty stream of the server's", []rawFrame{request(5, "Repeat", flagRemoteClosed, text(""))},
				[]rawFrame{data(5, flagRemoteClosed|flagNoData, nil)}},
			{"the client's stream", []rawFrame{request(7, "Join", flagRemoteOpen|flagNoData, nil), data(7, 0, text("a")), data(7, 0, text("b")),
				data(7, flagRemoteClosed|flagNoData, nil)}, []rawFrame{response(7, text("ab"))}},
		},
		// A task of its own sends each frame.
		"rust, on several threads": {
			{"a message before its request", []rawFrame{data(1, 0, text("a"))},
				[]rawFrame{failure(1, codes.InvalidArgument, "no stream 1")}},
			{"the request", []rawFrame{request(1, "EchoStream", flagRemoteOpen|flagNoData, nil)}, nil},
			{"the end before a message", []rawFrame{data(1, flagRemoteClosed|flagNoData, nil)}, []rawFrame{data(1, flagRemoteClosed|flagNoData, nil)}},
			{"the message", []rawFrame{data(1, 0, text("b"))}, nil},
			{"ids in any order", []rawFrame{request(9, "Echo", 0, text("9"))}, []rawFrame{response(9, text("9"))}},
			{"a lower one", []rawFrame{request(3, "Echo", 0, text("3"))}, []rawFrame{response(3, text("3"))}},
		},
		// trapeze, rama and ttrpc-swift, to which a frame of another type is an error, or the end.
		"unary alone": {
			{"a call", []rawFrame{request(1, "Echo", 0, text("x"))}, []rawFrame{response(1, text("x"))}},
			{"no message", []rawFrame{request(3, "Echo", 0, nil)}, []rawFrame{response(3, text(""))}},
			{"an error", []rawFrame{request(5, "Fail", 0, text("x"))}, []rawFrame{failure(5, codes.AlreadyExists, "it is there")}},
			{"an unknown field", []rawFrame{withUnknownField(request(7, "Echo", 0, text("x")))}, []rawFrame{response(7, text("x"))}},
		},
	}
}

// withUnknownField adds an unknown field to a request.
func withUnknownField(f rawFrame) rawFrame {
	f.body = append(f.body, 0xfa, 0x01, 1, 'x')
	return f
}

// A server sends a client of another implementation nothing that this client cannot handle:
// each frame is an answer, and the connection ends without a frame.
func TestForeignClients(t *testing.T) {
	for name, steps := range foreignClients() {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				st, p := serverPeer(t, WithServerKeepalive(testKeepalive))
				for _, step := range steps {
					p.send(step.send...)
					p.want(step.why, step.want...)
					p.wantNothing(step.why)
				}
				time.Sleep(time.Hour)
				p.wantNothing("an idle connection")
				st.wantStreams("all is answered", 0)
				if err := st.server.Shutdown(context.Background()); err != nil {
					t.Error(err)
				}
				p.wantClosed("the server shuts down")
			})
		})
	}
}
