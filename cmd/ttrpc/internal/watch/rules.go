package watch

import (
	"fmt"
	"strings"
	"time"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/cmd/ttrpc/internal/proxy"
	"github.com/containerd/ttrpc/internal/frame"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
)

// This file is the rules of PROTOCOL.md for the frames of streams, sections "The server's
// rules" and "The client's rules".

type codeOfCall = codes.Code

// codeLost is the code of a call whose connection ended before its final frame.
const codeLost = codes.Unavailable

const (
	// maxMetadata is the default limit of a call's metadata, with metadataOverhead bytes
	// for each pair.
	maxMetadata      = 1 << 20
	metadataOverhead = 128

	// maxName is how much of a service's or method's name is kept.
	maxName = 256
)

func (c *conn) fromClient(e *Event, body []byte, whole bool) {
	h := e.Header
	call := c.calls[h.ID]
	switch {
	case h.ID%2 == 0:
		e.violation("a client's stream id must be odd")
	case h.Type == frame.TypeRequest:
		c.request(e, body, whole)
	case h.Type == frame.TypeData && call == nil:
		if h.ID > c.lastID && !c.blind {
			e.violation("data on an id that no request has used")
		} else if !c.gone[h.ID] {
			e.note("the stream has ended")
		}
	case h.Type == frame.TypeData:
		c.clientData(e, call, body, whole)
	case h.Type == frame.TypeResponse:
		e.violation("a client sends no responses")
	default:
		e.violation("a type that the protocol does not have")
	}
	c.unknownFlags(e)
}

func (c *conn) unknownFlags(e *Event) {
	known := frame.FlagRemoteClosed | frame.FlagRemoteOpen | frame.FlagNoData
	if e.Header.Type == frame.TypeResponse {
		known = 0
	}
	if rest := e.Header.Flags &^ known; rest != 0 {
		e.note(fmt.Sprintf("flags %#x without a meaning", rest))
	}
}

func (c *conn) request(e *Event, body []byte, whole bool) {
	h := e.Header
	var req ttrpc.Request
	if whole {
		if err := proto.Unmarshal(body, &req); err != nil {
			e.violation("the request cannot be decoded: " + err.Error())
			whole = false
		}
	}
	if c.calls[h.ID] != nil {
		e.violation("the stream id is in use")
	} else if h.ID < c.lastID {
		e.note("a lower stream id than before: servers of v1.2.0 to v1.2.10 refuse it")
	}
	if both := frame.FlagRemoteClosed | frame.FlagRemoteOpen; h.Flags&both == both {
		e.violation("remote closed and remote open together")
	}
	if h.Flags&frame.FlagNoData != 0 && len(req.Payload) > 0 {
		e.note("a payload in spite of no data: it counts")
	}
	c.lastID = max(c.lastID, h.ID)
	delete(c.gone, h.ID)
	c.begin(e, &req, whole)
}

// begin makes the call of a request.
func (c *conn) begin(e *Event, req *ttrpc.Request, whole bool) {
	h := e.Header
	c.w.calls++
	call := &Call{
		Conn: c.id, Stream: h.ID, Number: c.w.calls, Begin: e.Time, Deadline: time.Duration(req.TimeoutNano),
		Service: cut(req.Service, maxName), Method: cut(req.Method, maxName),
		flags: h.Flags, clientDone: h.Flags&frame.FlagRemoteOpen == 0,
	}
	if !whole {
		call.Service, call.Method = "?", "?"
	}
	call.Bytes[proxy.ToServer] = int(h.Length)
	e.Call, e.Begins, e.Timeout = call, true, call.Deadline
	size := 0
	for _, p := range req.Metadata {
		e.Metadata = append(e.Metadata, frame.Pair{Key: p.Key, Value: p.Value})
		size += len(p.Key) + len(p.Value) + metadataOverhead
	}
	if size > maxMetadata {
		e.violation(fmt.Sprintf("more metadata than the limit of %d bytes", maxMetadata))
	}
	c.offer(e, req)
	c.payload(e, call, req.Payload, whole)
	if len(c.calls) >= maxCalls {
		c.blind = true
		return
	}
	c.calls[h.ID] = call
}

// offer looks for the offer of extensions in a request.
func (c *conn) offer(e *Event, req *ttrpc.Request) {
	offer, ok := frame.Offer(req.ProtoReflect().GetUnknown())
	if !ok {
		return
	}
	e.Extension = "offer: " + settingsText(offer)
	if c.offered == nil {
		c.offered = &offer
	}
}

func (c *conn) clientData(e *Event, call *Call, body []byte, whole bool) {
	c.count(e, call)
	switch {
	case call.Unary():
		e.violation("data for a unary call")
	case call.clientDone:
		e.violation("data after the client's last")
	}
	c.message(e, call, body, whole)
	if e.Header.Flags&frame.FlagRemoteClosed != 0 {
		call.clientDone = true
		if e.Header.Flags&frame.FlagNoData == 0 {
			e.note("remote closed with a message: servers of v1.2.0 to v1.2.10 answer it with an error")
		}
	}
}

// count adds a frame of a stream to its call.
func (c *conn) count(e *Event, call *Call) {
	e.Call = call
	call.Bytes[e.Dir] += int(e.Header.Length)
}

// message looks at the message of a data frame.
func (c *conn) message(e *Event, call *Call, body []byte, whole bool) {
	if e.Header.Flags&frame.FlagNoData != 0 {
		if e.Header.Length > 0 {
			e.note("a payload in spite of no data")
		}
		return
	}
	call.Messages[e.Dir]++
	c.payload(e, call, body, whole)
}

func (c *conn) payload(e *Event, call *Call, body []byte, whole bool) {
	if c.w.Types != nil && whole {
		e.Payload = c.w.Types.JSON(call.Service, call.Method, e.Dir, body)
	}
}

func (c *conn) fromServer(e *Event, body []byte, whole bool) {
	h := e.Header
	call := c.calls[h.ID]
	switch {
	case h.Type != frame.TypeResponse && h.Type != frame.TypeData:
		e.violation("a server sends responses and data alone")
		return
	case call == nil && c.gone[h.ID]:
		e.note("the client has cancelled the call")
	case call == nil && h.ID%2 == 0 && h.Type == frame.TypeResponse:
		e.note("an answer to a frame on that id")
	case call == nil && !c.blind:
		e.violation("no call with that stream id is open")
	}
	if h.Type == frame.TypeResponse {
		c.response(e, call, body, whole)
	} else if call != nil {
		c.serverData(e, call, body, whole)
	}
	c.unknownFlags(e)
}

func (c *conn) response(e *Event, call *Call, body []byte, whole bool) {
	var resp ttrpc.Response
	code := codes.OK
	if whole {
		if err := proto.Unmarshal(body, &resp); err != nil {
			e.violation("the response cannot be decoded: " + err.Error())
			whole, code = false, codes.Internal
		}
	}
	if s := resp.GetStatus(); s != nil {
		code = codes.Code(s.Code)
		e.Status = &Status{Code: code, Message: s.Message, Details: len(s.Details)}
	} else if whole {
		e.Status = &Status{}
	}
	if call == nil {
		return
	}
	c.count(e, call)
	if code == codes.OK {
		c.payload(e, call, resp.Payload, whole)
	}
	e.Ends = true
	c.finish(call, e.Time, code)
}

func (c *conn) serverData(e *Event, call *Call, body []byte, whole bool) {
	c.count(e, call)
	if call.Unary() {
		e.violation("data for a unary call")
	}
	last := e.Header.Flags&frame.FlagRemoteClosed != 0
	if !last && e.Header.Flags&frame.FlagNoData != 0 {
		e.note("no data without remote closed: it counts as a message")
	}
	c.message(e, call, body, whole)
	if last {
		e.Ends = true
		c.finish(call, e.Time, codes.OK)
	}
}

// cut returns at most n bytes of s.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "") + "..."
}
