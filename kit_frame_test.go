//go:build go1.25

package ttrpc

import (
	"bytes"
	"fmt"

	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
)

// rawFrame is a frame as a script writes it.
type rawFrame struct {
	id    streamID
	typ   messageType
	flags flags
	body  []byte
}

func (f rawFrame) header() header {
	return header{length: uint32(len(f.body)), id: f.id, typ: f.typ, flags: f.flags}
}

func (f rawFrame) encode() []byte {
	b := make([]byte, headerLength, headerLength+len(f.body))
	putHeader(b, f.header())
	return append(b, f.body...)
}

func (f rawFrame) String() string {
	if len(f.body) > 80 {
		return f.header().String()
	}
	return fmt.Sprintf("%v: %q", f.header(), f.body)
}

func (f rawFrame) equal(g rawFrame) bool {
	return f.header() == g.header() && bytes.Equal(f.body, g.body)
}

func request(id streamID, method string, fl flags, m proto.Message) rawFrame {
	req := &Request{Service: testService, Method: method}
	if m != nil {
		req.Payload = mustMarshal(m)
	}
	return requestFrame(id, fl, req)
}

func requestFrame(id streamID, fl flags, req *Request) rawFrame {
	return rawFrame{id: id, typ: messageTypeRequest, flags: fl, body: mustMarshal(req)}
}

// kindOf returns the flags of a request for one of the server's methods Hold….
func kindOf(method string) flags {
	switch method {
	case "HoldStream", "HoldClient":
		return flagRemoteOpen
	case "HoldServer":
		return flagRemoteClosed
	}
	return 0
}

// response returns a successful response, with the empty status that the client of June
// 2019 needs.
func response(id streamID, m proto.Message) rawFrame {
	return rawFrame{id: id, typ: messageTypeResponse, body: mustMarshal(&Response{Status: &spb.Status{}, Payload: mustMarshal(m)})}
}

func failure(id streamID, code codes.Code, message string) rawFrame {
	return rawFrame{id: id, typ: messageTypeResponse, body: mustMarshal(&Response{Status: newStatus(code, "%s", message)})}
}

// data returns a data frame with m, or without a message for nil.
func data(id streamID, fl flags, m proto.Message) rawFrame {
	f := rawFrame{id: id, typ: messageTypeData, flags: fl}
	if m != nil {
		f.body = mustMarshal(m)
	}
	return f
}
