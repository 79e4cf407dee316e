//go:build go1.25

package ttrpc

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"

	"google.golang.org/grpc/codes"
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
