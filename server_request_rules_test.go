//go:build go1.25

package ttrpc

import (
	"io"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/protowire"
)

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

func unknownField(n int) []byte {
	b := protowire.AppendTag(nil, 15, protowire.BytesType)
	body := n - len(b) - 2 // the length takes two bytes from 128 on
	return append(protowire.AppendVarint(b, uint64(body)), make([]byte, body)...)
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
