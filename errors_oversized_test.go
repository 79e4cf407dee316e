package ttrpc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// If either side refuses a message for its length, the client gets the same text, that of
// every release, and not a status inside another status.
func TestOversizedStatusText(t *testing.T) {
	big := &KeyValue{Value: strings.Repeat("x", defaultMaxMessageLength)}
	desc := echoMethods()
	desc.Methods["Big"] = func(context.Context, func(any) error) (any, error) { return big, nil }
	desc.Methods["Tell"] = func(context.Context, func(any) error) (any, error) {
		return nil, OversizedMessageError(5 << 20)
	}
	_, addr := newTestServer(t, desc)
	c := dialTest(t, addr)
	generous := dialTest(t, addr, WithClientLimits(Limits{MaxMessageLength: 8 << 20}))

	for _, test := range []struct {
		name   string
		client *Client
		method string
		req    *KeyValue
		local  bool // refused before it is sent
	}{
		{"request, by its sender", c, "Echo", big, true},
		{"request, by its receiver", generous, "Echo", big, false},
		{"response, by its sender", c, "Big", &KeyValue{}, false},
		{"as a handler's error", c, "Tell", &KeyValue{}, false},
	} {
		err := test.client.Call(testContext(t), testService, test.method, test.req, &KeyValue{})
		st := status.Convert(err)
		var length, maximum int
		n, _ := fmt.Sscanf(st.Message(), "message length %d exceed maximum message size of %d", &length, &maximum)
		if st.Code() != codes.ResourceExhausted || n != 2 || length <= maximum || maximum != 4<<20 {
			t.Errorf("%s: got %v", test.name, err)
		}
		var oversized *OversizedMessageErr
		if errors.As(err, &oversized) != test.local {
			t.Errorf("%s: an *OversizedMessageErr is %v, want %v", test.name, !test.local, test.local)
		}
	}
}

// dripConn is not a socket. It delivers b in pieces.
type dripConn struct {
	net.Conn
	b     []byte
	piece int
}

func (c *dripConn) Read(p []byte) (int, error) {
	if len(c.b) == 0 {
		return 0, io.EOF
	}
	n := copy(p[:min(len(p), c.piece)], c.b)
	c.b = c.b[n:]
	return n, nil
}

// A frame over the limit costs one buffer of bounded length, however small its pieces are,
// and only until the end of the frame.
func TestOversizedInPieces(t *testing.T) {
	const length = maxMessageLengthLimit
	frame := make([]byte, headerLength+length)
	putHeader(frame, header{length: length, id: 1, typ: messageTypeRequest})
	for _, rest := range []int{length, length / 2} { // the connection ends in the middle
		conn := &dripConn{b: frame[:headerLength+rest], piece: 16 << 10}
		ch := newChannel(conn, defaultMaxMessageLength, 1<<20, func(error) {})
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		peak := keepLedger(t, func() {
			_, _, err := ch.readFrame()
			var se *streamError
			if errors.As(err, &se) != (rest == length) {
				t.Errorf("%d bytes: got %v", rest, err)
			}
			if ch.sink != nil && rest == length {
				t.Error("the buffer outlives the frame")
			}
			ch.releaseRead()
		})
		runtime.ReadMemStats(&after)
		if got, most := after.TotalAlloc-before.TotalAlloc, uint64(5<<20); got > most || peak > int(most) {
			t.Errorf("%d bytes: %d bytes allocated, %d at once, at most %d", rest, got, peak, most)
		}
	}
}

// A request over the limit is refused before anything is sent: the error is typed
// and tells the lengths, by which NRI splits, and the connection is as before.
func TestOversizedRequest(t *testing.T) {
	c, w := wireClient(t)
	long := &KeyValue{Value: strings.Repeat("x", 4<<20)}
	errs := map[string]error{"Call": c.Call(testContext(t), testService, "Echo", long, &KeyValue{})}
	_, errs["NewStream"] = c.NewStream(testContext(t), &StreamDesc{StreamingServer: true}, testService, "S", long)
	ctx := WithMetadata(testContext(t), MD{"k": {long.Value}})
	errs["metadata"] = c.Call(ctx, testService, "Echo", &KeyValue{}, &KeyValue{})
	for what, err := range errs {
		var oversized *OversizedMessageErr
		if !errors.As(err, &oversized) {
			t.Errorf("%s: got %T %v", what, err, err)
			continue
		}
		if oversized.MaximumLength() != 4<<20 || oversized.RejectedLength() <= 4<<20 || oversized.RejectedLength() > 4<<20+100 {
			t.Errorf("%s: %d over %d", what, oversized.RejectedLength(), oversized.MaximumLength())
		}
		if status.Code(err) != codes.ResourceExhausted {
			t.Errorf("%s: code %v", what, status.Code(err))
		}
	}
	if n := tableSize(c.conn); n != 0 {
		t.Errorf("%d streams are left", n)
	}

	// The next frame is of the next call. A message of a stream is refused, too,
	// and the stream goes on.
	cs, err := c.NewStream(testContext(t), &StreamDesc{StreamingClient: true}, testService, "S", nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := cs.SendMsg(long); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("SendMsg: got %v", err)
	}
	if err := cs.SendMsg(&KeyValue{Value: "short"}); err != nil {
		t.Errorf("SendMsg: %v", err)
	}
	if h, req := w.readRequest(); h.id != 1 || req.Method != "S" {
		t.Errorf("the first frame is %v", h)
	}
	if f := w.read(); f.id != 1 || f.typ != messageTypeData || f.length > 100 {
		t.Errorf("the second frame is %v", f.header)
	}
}

// An oversized request that arrives is refused, leaves no entry, and nothing else
// is harmed.
func TestOversizedRequestTable(t *testing.T) {
	s, addr := newTestServer(t, echoMethods())
	w := dialWire(t, addr)
	body := make([]byte, 4<<20+1)
	for id := streamID(1); id <= 5; id += 2 {
		sent := goErr(func() error { w.write(header{id: id, typ: messageTypeRequest}, body); return nil })
		if got, resp := w.readResponse(); got != id || codes.Code(resp.Status.GetCode()) != codes.ResourceExhausted {
			t.Errorf("stream %d: got %v", got, resp)
		}
		within(t, "write", sent)
		w.request(id, "Echo", 0, &KeyValue{}) // the id is free
		if got, resp := w.readResponse(); got != id || resp.Status.GetCode() != 0 {
			t.Errorf("stream %d again: got %v", got, resp)
		}
	}
	s.mu.Lock()
	conns := s.connsLocked()
	s.mu.Unlock()
	for _, sc := range conns {
		if n := tableSize(sc.conn); n != 0 {
			t.Errorf("%d streams are left", n)
		}
	}
}
