//go:build go1.25

package ttrpc

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
)

// The server's rules, one test each, and its reactions when a client breaks one.

func TestServerUnary(t *testing.T) {
	bubble(t, func(t *testing.T) {
		_, p := serverPeer(t)
		p.send(request(1, "Echo", 0, text("hello")))
		p.want("a call", response(1, text("hello")))
		p.send(request(3, "Echo", 0, text("")))
		p.want("an empty message: an empty status all the same", rawFrame{id: 3, typ: messageTypeResponse, body: []byte{1<<3 | 2, 0}})
		p.send(request(5, "Fail", 0, text("")))
		p.want("an error", failure(5, codes.AlreadyExists, "it is there"))
		p.wantNothing("all is answered")
	})
}

func TestServerFramesInPieces(t *testing.T) {
	bubble(t, func(t *testing.T) {
		_, p := serverPeer(t)
		for _, b := range request(1, "Echo", 0, text("slowly")).encode() {
			p.sendBytes([]byte{b})
			synctest.Wait()
		}
		p.want("byte by byte", response(1, text("slowly")))
		p.send(request(3, "Fail", 0, nil), request(5, "Nothing", 0, nil), rawFrame{id: 2})
		got := map[streamID]codes.Code{}
		for i := 0; i < 3; i++ {
			f := p.next("three frames in one write")
			r, err := parseResponse(f.body, 0)
			if err != nil {
				t.Fatal(err)
			}
			got[f.id] = codes.Code(r.status.GetCode())
		}
		if got[3] != codes.AlreadyExists || got[5] != codes.Unimplemented || got[2] != codes.InvalidArgument {
			t.Errorf("three frames in one write: got %v", got)
		}
	})
}

func TestServerRejectsUnknownMethod(t *testing.T) {
	bubble(t, func(t *testing.T) {
		st, p := serverPeer(t)
		p.alive("first", 1)
		for i, req := range []*Request{
			{Service: "no.Service", Method: "Echo"},
			{Service: testService, Method: "NoMethod"},
			{Service: testService},
			{Method: "Echo"},
			{},
		} {
			id := streamID(3 + 2*i)
			p.send(requestFrame(id, 0, req))
			p.wantStatus(req.String(), id, codes.Unimplemented)
			st.wantStreams("a rejected request", 0)
		}
		p.alive("after", 101)
	})
}

func TestServerRejectsGarbledRequest(t *testing.T) {
	bubble(t, func(t *testing.T) {
		st, p := serverPeer(t)
		for i, body := range []string{
			"\xff", "\x0a\xff", "\x0a\x02\xc3\x28", "\x00", "\x0b", "\x22\x01x\x07",
			"\x2a\x01\x0a", "\x2a\x03\x0a\x01\xff", "\x2a\x03\x12\x01\xff", // metadata
		} {
			id := streamID(1 + 2*i)
			p.send(rawFrame{id: id, typ: messageTypeRequest, body: []byte(body)})
			p.wantStatus(body, id, codes.InvalidArgument)
			st.wantStreams(body, 0)
		}
		p.alive("after", 101)
	})
}

func TestServerSkipsUnknownFields(t *testing.T) {
	bubble(t, func(t *testing.T) {
		_, p := serverPeer(t)
		f := request(1, "Echo", 0, text("x"))
		f.body = protowire.AppendTag(f.body, 99, protowire.BytesType)
		f.body = protowire.AppendString(f.body, "of a later version")
		f.body = protowire.AppendTag(f.body, 1, protowire.VarintType) // service, of another type
		f.body = protowire.AppendVarint(f.body, 7)
		p.send(f)
		p.want("a request with unknown fields", response(1, text("x")))
	})
}

func TestServerRejectsEvenID(t *testing.T) {
	bubble(t, func(t *testing.T) {
		st, p := serverPeer(t)
		p.alive("first", 1)
		p.send(request(2, "Echo", 0, text("x")))
		p.wantStatus("an even id", 2, codes.InvalidArgument)
		p.send(data(4, 0, text("x")))
		p.wantStatus("data on an even id", 4, codes.InvalidArgument)
		st.wantStreams("even ids", 0)
		p.send(request(0, "Echo", 0, nil))
		p.wantStatus("a request on stream 0", 0, codes.InvalidArgument)
		p.alive("after", 3)
	})
}

// A frame of type 0 on stream 0 is a ping that exists in the field.
func TestServerAnswersPing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		_, p := serverPeer(t)
		p.send(rawFrame{})
		if f := p.next("a ping"); f.id != 0 || len(f.body) == 0 {
			t.Errorf("a ping: got %v, want a frame with a body on stream 0", f)
		}
		p.alive("after", 1)
	})
}

func TestServerIgnoresUnknownTypes(t *testing.T) {
	bubble(t, func(t *testing.T) {
		st, p := serverPeer(t)
		p.send(request(1, "Hold", 0, nil))
		call := st.call()
		for _, typ := range []messageType{0, messageTypeResponse, 4, 0x7f, 0xff} {
			p.send(rawFrame{id: 1, typ: typ, body: []byte("x")}, rawFrame{id: 77, typ: typ, flags: 0xff})
			p.wantNothing(typ.String())
		}
		st.wantStreams("unknown types", 1)
		call.returns(text("done"), nil)
		p.want("the call goes on", response(1, text("done")))
	})
}

func TestServerReservedByte(t *testing.T) {
	bubble(t, func(t *testing.T) {
		log := &testLogger{}
		st, p := serverPeer(t, WithServerLogger(log))
		p.send(request(1, "Hold", 0, nil))
		call := st.call()
		p.sendBytes([]byte{1, 0, 0, 0, 0, 0, 0, 3, 1, 0}) // 16 MiB are to follow
		p.wantClosed("the first byte of a header is not zero")
		if call.ctx.Err() != context.Canceled {
			t.Errorf("the handler's context: got %v, want Canceled", call.ctx.Err())
		}
		call.returns(text("late"), nil)
		log.want(t, "protocol error")
	})
}

func TestServerOversizedRequest(t *testing.T) {
	const limit = 1000
	bubble(t, func(t *testing.T) {
		st, p := serverPeer(t, WithServerLimits(Limits{MaxMessageLength: limit}))
		fits := requestFrame(1, 0, &Request{Service: testService, Method: "Fail"})
		fits.body = append(fits.body, unknownField(limit-len(fits.body))...)
		p.send(fits)
		p.wantStatus("a request of just the limit", 1, codes.AlreadyExists)

		p.send(rawFrame{id: 3, typ: messageTypeRequest, body: make([]byte, limit+1)})
		p.wantStatus("one byte more", 3, codes.ResourceExhausted)
		st.wantStreams("an oversized request", 0)

		// The longest there can be, in pieces; an answer comes only at its end.
		h := make([]byte, headerLength)
		putHeader(h, header{length: maxMessageLengthLimit, id: 5, typ: messageTypeRequest})
		p.sendBytes(h)
		for rest := maxMessageLengthLimit; rest > 0; {
			p.wantNothing("an oversized request that has not ended")
			n := min(rest, 1<<20)
			p.sendBytes(make([]byte, n))
			rest -= n
		}
		p.wantStatus("the longest request", 5, codes.ResourceExhausted)

		for i, f := range []rawFrame{
			{id: 99, typ: messageTypeData}, {id: 99, typ: 9}, {id: 99, typ: messageTypeResponse},
		} {
			f.body = make([]byte, limit+1)
			p.send(f)
			p.wantNothing("an oversized frame that begins no stream")
			p.alive("after it", streamID(7+2*i))
		}
	})
}

func unknownField(n int) []byte {
	b := protowire.AppendTag(nil, 15, protowire.BytesType)
	body := n - len(b) - 2 // the length takes two bytes from 128 on
	return append(protowire.AppendVarint(b, uint64(body)), make([]byte, body)...)
}

func TestServerOversizedData(t *testing.T) {
	const limit = 1000
	bubble(t, func(t *testing.T) {
		st, p := serverPeer(t, WithServerLimits(Limits{MaxMessageLength: limit}))
		first := st.start(p, request(1, "HoldStream", flagRemoteOpen, nil))
		second := st.start(p, request(3, "HoldStream", flagRemoteOpen, nil))
		p.send(rawFrame{id: 1, typ: messageTypeData, body: make([]byte, limit+1)})
		p.wantStatus("oversized data", 1, codes.ResourceExhausted)
		st.wantStreams("the other stream is left", 1)
		var tooLong *OversizedMessageErr
		if _, err := recvNow(first.ss); !errors.As(err, &tooLong) {
			t.Errorf("the handler received %v, want an OversizedMessageErr", err)
		}
		if err := first.ss.SendMsg(text("x")); err == nil {
			t.Error("the handler could send on the stream that has ended")
		}
		first.returns(nil, nil)
		p.send(data(1, flagRemoteClosed|flagNoData, nil))
		p.wantNothing("a late frame on the stream that has ended")

		p.send(data(3, 0, text("x")))
		second.wantRecv(t, "the other stream goes on", "x")
		second.returns(nil, nil)
		p.want("and ends", data(3, flagRemoteClosed|flagNoData, nil))
	})
}

func TestServerOversizedResponse(t *testing.T) {
	bubble(t, func(t *testing.T) {
		st, p := serverPeer(t, WithServerLimits(Limits{MaxMessageLength: 1000}))
		p.send(request(1, "Hold", 0, nil))
		st.call().returns(text(strings.Repeat("x", 1000)), nil)
		p.wantStatus("an oversized response", 1, codes.ResourceExhausted)

		p.send(request(3, "HoldStream", flagRemoteOpen, nil))
		call := st.call()
		var tooLong *OversizedMessageErr
		if err := call.ss.SendMsg(text(strings.Repeat("x", 1000))); !errors.As(err, &tooLong) {
			t.Errorf("an oversized message: got %v, want an OversizedMessageErr", err)
		}
		if err := call.ss.SendMsg(text("y")); err != nil {
			t.Errorf("after an oversized message: %v", err)
		}
		p.want("the stream goes on", data(3, 0, text("y")))
		call.returns(text(strings.Repeat("x", 1000)), nil)
		p.wantStatus("an oversized last message", 3, codes.ResourceExhausted)
		p.alive("after", 5)
	})
}

func TestServerIDInUse(t *testing.T) {
	bubble(t, func(t *testing.T) {
		st, p := serverPeer(t)
		p.send(request(5, "Hold", 0, nil))
		call := st.call()
		p.send(request(5, "Echo", 0, text("again")))
		p.wantStatus("an id in use", 5, codes.InvalidArgument)
		st.wantStreams("the first call is left alone", 1)
		if err := call.ctx.Err(); err != nil {
			t.Errorf("its context ended: %v", err)
		}
		call.returns(text("first"), nil)
		p.want("the first call", response(5, text("first")))
	})
}

// The Rust client can put a lower id on the wire after a higher one.
func TestServerLowerID(t *testing.T) {
	bubble(t, func(t *testing.T) {
		_, p := serverPeer(t)
		for _, id := range []streamID{7, 3, 1<<32 - 1, 5, 1} {
			p.alive("ids in any order", id)
		}
		p.alive("an id that is free again", 3)
	})
}

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

// The request of a client's stream may carry the first message.
func TestServerFirstMessage(t *testing.T) {
	explicitEmpty := &Request{Service: testService, Method: "HoldStream", Payload: []byte{}}
	withEmpty := requestFrame(1, flagRemoteOpen, explicitEmpty)
	withEmpty.body = append(withEmpty.body, 3<<3|2, 0) // the runtime leaves it out
	flaggedEmpty := withEmpty
	flaggedEmpty.flags |= flagNoData
	for _, test := range []struct {
		name    string
		request rawFrame
		want    []string
	}{
		{"none", request(1, "HoldStream", flagRemoteOpen, nil), nil},
		{"none, no data", request(1, "HoldStream", flagRemoteOpen|flagNoData, nil), nil},
		{"one", request(1, "HoldStream", flagRemoteOpen, text("first")), []string{"first"}},
		{"an empty one", withEmpty, []string{""}},
		{"an empty one, no data", flaggedEmpty, nil},
		{"one, no data", request(1, "HoldStream", flagRemoteOpen|flagNoData, text("first")), []string{"first"}},
		{"one to a client's stream", request(1, "HoldClient", flagRemoteOpen, text("first")), []string{"first"}},
	} {
		test := test
		t.Run(test.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				st, p := serverPeer(t)
				p.send(test.request, data(1, 0, text("second")), data(1, flagRemoteClosed|flagNoData, nil))
				call := st.call()
				for _, want := range append(test.want, "second") {
					call.wantRecv(t, "the request's message and the next", want)
				}
				call.wantRecvErr(t, "after the last", io.EOF)
				call.returns(text("end"), nil)
				p.next("the final frame")
			})
		})
	}
}

// A server's stream gets its request, also when that has no bytes, whatever else the
// flags say.
func TestServerStreamRequest(t *testing.T) {
	for _, fl := range []flags{flagRemoteClosed, flagRemoteClosed | 0x80, flagRemoteClosed | flagNoData} {
		for _, value := range []string{"value", ""} {
			fl, value := fl, value
			bubble(t, func(t *testing.T) {
				st, p := serverPeer(t)
				p.send(request(1, "HoldServer", fl, text(value)))
				call := st.call()
				call.wantRecv(t, "the request", value)
				call.wantRecvErr(t, "after it", io.EOF)
				call.returns(nil, nil)
				p.want("the end", data(1, flagRemoteClosed|flagNoData, nil))
			})
		}
	}
}

func TestServerUnaryIgnoresFlags(t *testing.T) {
	bubble(t, func(t *testing.T) {
		_, p := serverPeer(t)
		for i, fl := range []flags{flagNoData, 0x8, 0x80, 0xfc} {
			id := streamID(2*i + 1)
			p.send(request(id, "Echo", fl, text("x")))
			p.want("a unary call with flags", response(id, text("x")))
		}
	})
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

func TestServerMetadata(t *testing.T) {
	for _, method := range []string{"Hold", "HoldStream"} {
		method := method
		bubble(t, func(t *testing.T) {
			st, p := serverPeer(t)
			p.send(requestFrame(1, kindOf(method), &Request{Service: testService, Method: method, Metadata: []*KeyValue{
				{Key: "Color", Value: "red"}, {Key: "empty"}, {Key: "color", Value: "blue"}, {},
			}}))
			call := st.call()
			md, _ := GetMetadata(call.ctx)
			if got := strings.Join(md["color"], " "); got != "red blue" {
				t.Errorf("%s: color is %q, want %q", method, got, "red blue")
			}
			if v, ok := GetMetadataValue(call.ctx, "EMPTY"); v != "" || !ok {
				t.Errorf("%s: an empty value: got %q, %v", method, v, ok)
			}
			if len(md) != 3 {
				t.Errorf("%s: got %v", method, md)
			}
			call.returns(text(""), nil)
			p.next("the end")
		})
	}
}

func TestServerMetadataLimit(t *testing.T) {
	bubble(t, func(t *testing.T) {
		const limit = 1000
		st, p := serverPeer(t, WithServerMaxMetadata(limit))
		md := func(id streamID, n int) rawFrame {
			return requestFrame(id, 0, &Request{Service: testService, Method: "Echo", Metadata: []*KeyValue{
				{Key: "key", Value: strings.Repeat("x", n-3-metadataOverhead)},
			}})
		}
		p.send(md(1, limit))
		p.wantStatus("metadata of just the limit", 1, codes.OK)
		p.send(md(3, limit+1))
		p.wantStatus("one byte more", 3, codes.ResourceExhausted)
		many := &Request{Service: testService, Method: "Echo"}
		for i := 0; i < limit/metadataOverhead+1; i++ {
			many.Metadata = append(many.Metadata, &KeyValue{})
		}
		p.send(requestFrame(5, 0, many))
		p.wantStatus("many empty entries", 5, codes.ResourceExhausted)
		st.wantStreams("rejected", 0)
		p.alive("after", 7)
	})
}

func TestServerMaxCalls(t *testing.T) {
	bubble(t, func(t *testing.T) {
		st, p := serverPeer(t, WithServerMaxCalls(2))
		unary := st.start(p, request(1, "Hold", 0, nil))
		stream := st.start(p, request(3, "HoldStream", flagRemoteOpen, nil))
		p.send(request(5, "Echo", 0, text("x")))
		p.wantStatus("a third call", 5, codes.ResourceExhausted)
		st.wantStreams("the third is not queued", 2)
		unary.returns(text("done"), nil)
		p.want("the first ends", response(1, text("done")))
		p.alive("there is room again", 7)
		stream.returns(nil, nil)
		p.want("the second ends", data(3, flagRemoteClosed|flagNoData, nil))
	})
}

// The end of a connection ends the handlers' contexts, in every way in which a
// connection can end.
func TestServerConnectionEnds(t *testing.T) {
	for name, end := range map[string]func(p *peer){
		"close":        func(p *peer) { p.conn.Close() },
		"half-close":   func(p *peer) { p.conn.CloseWrite() },
		"in a header":  func(p *peer) { p.sendBytes([]byte{0, 0, 0}); p.conn.CloseWrite() },
		"in a payload": func(p *peer) { p.sendBytes([]byte{0, 0, 0, 5, 0, 0, 0, 9, 1, 0, 'x'}); p.conn.Close() },
		"oversized":    func(p *peer) { p.sendBytes([]byte{0, 255, 0, 5, 0, 0, 0, 9, 1, 0, 'x'}); p.conn.Close() },
	} {
		end := end
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				log := &testLogger{}
				st, p := serverPeer(t, WithServerLogger(log))
				calls := []*heldCall{
					st.start(p, request(1, "Hold", 0, nil)),
					st.start(p, request(3, "HoldStream", flagRemoteOpen, nil)),
				}
				end(p)
				synctest.Wait()
				for _, call := range calls {
					if call.ctx.Err() != context.Canceled {
						t.Errorf("a handler's context: got %v, want Canceled", call.ctx.Err())
					}
					if call.ss != nil {
						call.wantRecvErr(t, "after the end", ErrClosed)
						if err := call.ss.SendMsg(text("x")); err == nil {
							t.Error("SendMsg after the end: no error")
						}
					}
					call.returns(text(""), nil)
				}
				p.wantClosed("the server closes its end, too")
				st.server.mu.Lock()
				n := len(st.server.conns)
				st.server.mu.Unlock()
				if n > 0 {
					t.Errorf("the server still knows %d connections", n)
				}
				log.want(t)
			})
		})
	}
}

// testLogger collects lines.
type testLogger struct{ lines bytes.Buffer }

func (l *testLogger) Printf(format string, args ...any) {
	l.lines.WriteString(strings.TrimSpace(newStatus(0, format, args...).Message) + "\n")
}

// want checks that the log consists of lines with these texts.
func (l *testLogger) want(t *testing.T, texts ...string) {
	t.Helper()
	lines := strings.Split(strings.TrimSuffix(l.lines.String(), "\n"), "\n")
	if l.lines.Len() == 0 {
		lines = nil
	}
	if len(lines) != len(texts) {
		t.Errorf("got %d lines in the log, want %d: %q", len(lines), len(texts), lines)
		return
	}
	for i, text := range texts {
		if !strings.Contains(lines[i], text) {
			t.Errorf("line %d of the log is %q, want %q in it", i, lines[i], text)
		}
	}
}
