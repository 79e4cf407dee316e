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
