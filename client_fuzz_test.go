//go:build go1.25 && unix

package ttrpc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// FuzzClient lets a client with calls and streams read arbitrary bytes. Each call returns
// the result of the first frame on its stream, and nothing is left when the connection is
// closed.
func FuzzClient(f *testing.F) {
	for _, seed := range scriptSeeds() {
		for _, mode := range []fuzzMode{0, fuzzSocket, fuzzTiny, fuzzSocket | fuzzTiny} {
			f.Add(seed, uint8(mode|fuzzScript))
		}
		f.Add(scriptFrames(seed), uint8(0))
		f.Add(scriptFrames(seed)[:len(scriptFrames(seed))-1], uint8(fuzzSocket))
	}
	// No header of ttrpc: a call after that says so.
	f.Add([]byte("0000000000"), uint8(0))
	f.Add([]byte("\x00\x000\x04\x00\x00\x00\x00\x00"), uint8(fuzzSocket|fuzzTiny)) // HTTP/2
	// Data of no message, where none may be.
	f.Add([]byte("Z\x00\x05\xe8\x03\x00\x00"), uint8(fuzzScript))
	// Settings without features, and a window frame without its payload, to be ignored.
	f.Add([]byte("\r00\x10\x00,000\r002\x01 \x02\x05"), uint8(fuzzScript|fuzzSocket))
	for id := byte(0); id < 8; id++ {
		// Settings, goaway with that id, and responses and data on it and on others.
		settings, goaway := []byte{13, id, 0, 0, 0xff}, []byte{13, id, 0, byte(messageTypeGoaway - messageTypeSettings), 0}
		rest := []byte{11, id, 5, 0, 6, id + 1, 5, 11, id + 1, 5, 0, 11, id + 2, 255, 0, 11, id + 3, 5, 7, 14, id + 3, 5, 2, 0}
		for _, mode := range []fuzzMode{fuzzScript, fuzzScript | fuzzSocket} {
			f.Add(append(append(append([]byte(nil), settings...), goaway...), rest...), uint8(mode))
			f.Add(append(append(append(append([]byte(nil), settings...), goaway...), 13, 0, 0, 5, 0), rest...), uint8(mode))
		}
		// Responses and data, good and bad, on the stream of a call or of a
		// stream of the client's.
		for _, mode := range []fuzzMode{fuzzScript, fuzzScript | fuzzSocket} {
			f.Add([]byte{11, id, 5, 0, 11, id, 5, 1, 11, 7 - id, 5, 0}, uint8(mode))
			f.Add([]byte{11, id, 5, 6, 6, id, 5}, uint8(mode))
			f.Add([]byte{6, id, 5, 6, id, 0, 0x16, id, 5, 11, id, 5, 0}, uint8(mode))
			f.Add([]byte{11, id, 255, 0, 6, id, 255, 11, id, 3, 0}, uint8(mode))
			f.Add([]byte{14, id, 5, 2, 0, 14, id, 5, 3, 0}, uint8(mode))
			f.Add([]byte{6, id, 200, 6, id, 200, 6, id, 200, 6, id, 200, 11, 7 - id, 5, 0}, uint8(mode))
		}
	}
	f.Fuzz(func(t *testing.T, b []byte, m uint8) {
		mode := fuzzMode(m)
		sent := mode.bytesOf(b)
		var peak int
		if mode.has(fuzzSocket) {
			settle(t)
			peak = keepLedger(t, func() {
				near, far := socketPair(t)
				fuzzClientConn(t, mode, sent, near, far)
				settle(t)
			})
		} else {
			bubble(t, func(t *testing.T) {
				near, far := memPipe(0)
				fuzzClientConn(t, mode, sent, near, far)
			})
		}
		// The frame being read, the write queue, four responses that
		// wait for their callers, three inboxes.
		message := 4096 + bufferSlack
		most := 2*(readChunkLength+bufferSlack) + message +
			fuzzLimits.MaxPendingWrite + batchLength + message +
			4*message + 3*(fuzzLimits.MaxStreamBuffer+message)
		if peak > most {
			t.Errorf("the connection took %d bytes of buffers at once, want at most %d", peak, most)
		}
	})
}

// fuzzClientConn runs a client to the end over any connection.
func fuzzClientConn(t *testing.T, mode fuzzMode, sent []byte, near, far net.Conn) {
	inBubble := !mode.has(fuzzSocket)
	ctx, cancel := context.WithTimeout(context.Background(), testTimeout)
	defer cancel()
	c := NewClient(near, WithClientLimits(fuzzLimits))

	const calls = 4
	results := make([]chan error, calls)
	values := make([]KeyValue, calls)
	for i := range results {
		i := i
		results[i] = make(chan error, 1)
		go func() {
			results[i] <- c.Call(ctx, testService, "Echo", text(fmt.Sprint("call ", i)), &values[i])
		}()
	}
	both := mustOpen(t, ctx, c, bidi, nil)
	sum := mustOpen(t, ctx, c, fromClient, nil)
	ended := make(chan error, 3)
	go func() {
		for i := 0; i < 5 && both.SendMsg(text("to the server")) == nil; i++ {
		}
		ended <- both.CloseSend()
	}()
	go func() { ended <- receiveAll(both) }()
	go func() {
		sum.SendMsg(text("to the server"))
		sum.CloseSend()
		ended <- receiveAll(sum)
	}()
	requests := calls + 2
	var unread ClientStream
	if inBubble {
		// Nobody receives here: that costs the others a second at most.
		unread = mustOpen(t, ctx, c, fromServer, text("unread"))
		requests++
	}
	begin := readRequests(t, far, requests)
	output := collect(far)

	mode.write(far, sent)
	ids, err := checkClientOutput(begin)
	if err != nil {
		t.Fatal(err)
	}
	table := newTableModel(sent, ids, both, sum, unread)
	if inBubble {
		time.Sleep(testTimeout / 2)
		if err := table.check(c); err != nil {
			t.Error(err)
		}
	} else {
		waitFor(t, "the client's table to be right", func() bool { return table.check(c) == nil })
	}
	far.(interface{ CloseWrite() error }).CloseWrite()
	errs := make([]error, calls)
	for i, result := range results {
		errs[i] = <-result
	}
	for i := 0; i < cap(ended); i++ {
		<-ended
	}
	if unread != nil {
		receiveAll(unread)
	}
	if err := c.UserOnCloseWait(ctx); err != nil {
		t.Errorf("the connection has ended, and UserOnCloseWait returned %v", err)
	}
	if err := c.Call(ctx, testService, "Echo", text("late"), &KeyValue{}); !errors.Is(err, ErrClosed) || err != ErrClosed && !table.ended {
		t.Errorf("a call after the end: got %v, want ErrClosed", err)
	}
	if _, err := checkClientOutput(append(begin, output()...)); err != nil {
		t.Error(err)
	}
	for i, err := range errs {
		want := callOutcome(sent, ids[fmt.Sprint("call ", i)], table.begun)
		if err := want.check(err, values[i].Value); err != nil {
			t.Errorf("call %d: %v", i, err)
		}
	}
}

func mustOpen(t *testing.T, ctx context.Context, c *Client, desc *StreamDesc, m any) ClientStream {
	t.Helper()
	cs, err := c.NewStream(ctx, desc, testService, "EchoStream", m)
	if err != nil {
		t.Fatal(err)
	}
	return cs
}

// readRequests reads until n requests have arrived, and returns all bytes that it has read.
func readRequests(t *testing.T, nc net.Conn, n int) []byte {
	t.Helper()
	var all []byte
	for n > 0 {
		h := make([]byte, headerLength)
		if _, err := io.ReadFull(nc, h); err != nil {
			t.Fatal(err)
		}
		body := make([]byte, parseHeader(h).length)
		if _, err := io.ReadFull(nc, body); err != nil {
			t.Fatal(err)
		}
		if parseHeader(h).typ == messageTypeRequest {
			n--
		}
		all = append(append(all, h...), body...)
	}
	return all
}

// checkClientOutput checks the output of a client: the ids of requests rise, data is on
// streams that the requests began, and nothing follows a stream's last message. It returns
// the id of each unary call by the value in its request.
func checkClientOutput(b []byte) (ids map[string]streamID, err error) {
	ids = make(map[string]streamID)
	frames, err := splitOutput(b, fuzzLimits.MaxMessageLength)
	if err != nil {
		return nil, err
	}
	sending := make(map[streamID]bool)
	lastID := -1
	acks := 0
	for _, f := range frames {
		switch f.typ {
		case messageTypeSettings, messageTypeCancel, messageTypeWindow, messageTypePing, messageTypePong:
			if isAck(f.header()) {
				acks++
			}
			if f.id != 0 || acks != 1 || f.typ == messageTypeSettings && !isAck(f.header()) {
				return nil, fmt.Errorf("%v after %d acknowledgements", f, acks)
			}
		case messageTypeRequest:
			var req Request
			var m KeyValue
			if proto.Unmarshal(f.body, &req) != nil || proto.Unmarshal(req.Payload, &m) != nil {
				return nil, fmt.Errorf("%v does not decode", f)
			}
			if !f.id.isClient() || int(f.id) <= lastID {
				return nil, fmt.Errorf("%v comes after stream %d", f, lastID)
			}
			lastID = int(f.id)
			sending[f.id] = f.flags.has(flagRemoteOpen)
			if f.flags == 0 {
				ids[m.Value] = f.id
			}
		case messageTypeData:
			if !sending[f.id] {
				return nil, fmt.Errorf("%v on a stream that does not send", f)
			}
			sending[f.id] = !f.flags.has(flagRemoteClosed)
		default:
			return nil, fmt.Errorf("a client does not send a %v", f)
		}
	}
	return ids, nil
}

// A tableModel specifies a client's table: the streams that are left when the client has
// read all bytes and the connection is alive.
type tableModel struct {
	open   map[streamID]bool
	begun  map[streamID]bool // all that the client began
	ended  bool              // the bytes end the connection
	either streamID          // may be in the table or not; 0 for none
}

func newTableModel(sent []byte, unary map[string]streamID, both, sum, unread ClientStream) *tableModel {
	m := &tableModel{open: make(map[streamID]bool)}
	calls := make(map[streamID]bool)
	for _, id := range unary {
		m.open[id], calls[id] = true, true
	}
	for _, cs := range []ClientStream{both, sum, unread} {
		if cs != nil {
			m.open[cs.(*clientStream).id] = true
		}
	}
	m.begun = make(map[streamID]bool)
	for id := range m.open {
		m.begun[id] = true
	}
	for _, f := range clientFrames(sent, fuzzLimits.MaxMessageLength, func(id streamID) bool { return m.begun[id] }) {
		if f.err != nil {
			m.ended = errors.Is(f.err, ErrProtocol)
			break
		}
		id, isData := f.h.id, f.h.typ == messageTypeData
		if !m.open[id] || !isData && f.h.typ != messageTypeResponse {
			continue
		}
		switch {
		case f.oversized, !isData, f.h.flags.has(flagRemoteClosed),
			calls[id],                    // data on a unary call
			id == sum.(*clientStream).id: // a message where none may be
			delete(m.open, id)
		case unread != nil && id == unread.(*clientStream).id:
			m.either = id // if its inbox has become full
		}
	}
	return m
}

// check compares the model with a client.
func (m *tableModel) check(c *Client) error {
	c.conn.mu.Lock()
	defer c.conn.mu.Unlock()
	if m.ended || c.conn.err != nil {
		if !m.ended || c.conn.err == nil {
			return fmt.Errorf("the connection has ended: %v, want %v", c.conn.err, m.ended)
		}
		return nil
	}
	for id := range c.conn.streams {
		if !m.open[id] {
			return fmt.Errorf("stream %d is left in the table", id)
		}
	}
	for id := range m.open {
		if c.conn.streams[id] == nil && id != m.either {
			return fmt.Errorf("stream %d is not in the table", id)
		}
	}
	return nil
}

// wantedResult is the result that a unary call must return.
type wantedResult struct {
	value string
	code  codes.Code // of a status; OK for a value, or with is
	is    error      // the error that errors.Is finds; nil for a status or a value
	any   bool       // some error of decoding
}

// callOutcome specifies a unary call: it returns the result if the server sends b.
func callOutcome(b []byte, id streamID, begun map[streamID]bool) wantedResult {
	for _, f := range clientFrames(b, fuzzLimits.MaxMessageLength, func(id streamID) bool { return begun[id] }) {
		if f.err != nil {
			break
		}
		if f.h.id != id || id == 0 || f.h.typ != messageTypeResponse && f.h.typ != messageTypeData {
			continue
		}
		var resp Response
		var m KeyValue
		switch {
		case f.oversized:
			return wantedResult{code: codes.ResourceExhausted}
		case f.h.typ == messageTypeData:
			return wantedResult{is: ErrProtocol}
		case proto.Unmarshal(f.body, &resp) != nil:
			return wantedResult{any: true}
		case resp.GetStatus().GetCode() != 0:
			return wantedResult{code: codes.Code(resp.Status.Code)}
		case proto.Unmarshal(resp.Payload, &m) != nil:
			return wantedResult{any: true}
		}
		return wantedResult{value: m.Value}
	}
	return wantedResult{is: ErrClosed}
}

// check compares w with the result of a call.
func (w wantedResult) check(err error, value string) error {
	ok := false
	switch {
	case w.any:
		ok = err != nil && !errors.Is(err, ErrClosed)
	case w.is != nil:
		ok = errors.Is(err, w.is)
	case w.code != codes.OK:
		ok = err != nil && status.Code(err) == w.code
	default:
		ok = err == nil && value == w.value
	}
	if !ok {
		return fmt.Errorf("got %q, %v, want %+v", strings.ToValidUTF8(value, "?"), err, w)
	}
	return nil
}
