package ttrpc

import (
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
)

// A wire is the end of a real connection whose frames a test reads and writes itself.
// (Tests in bubbles have a peer instead.) Every operation fails after testTimeout. Errors
// panic, so that any goroutine may use a wire.
type wire struct{ net.Conn }

// wireFrame is a frame on a wire.
type wireFrame struct {
	header
	body []byte
}

func newWire(nc net.Conn) *wire {
	nc.SetDeadline(time.Now().Add(testTimeout))
	return &wire{nc}
}

// dialWire returns a wire to a server.
func dialWire(t testing.TB, addr string) *wire {
	t.Helper()
	return newWire(dialRaw(t, addr))
}

// wireClient returns a client and the server's end of its connection.
func wireClient(t testing.TB, opts ...ClientOpts) (*Client, *wire) {
	t.Helper()
	ours, theirs := socketPair(t)
	c := NewClient(ours, opts...)
	t.Cleanup(func() { c.Close() })
	return c, newWire(theirs)
}

// tryWrite sends a frame. The length in its header is that of body unless h sets it.
func (w *wire) tryWrite(h header, body []byte) error {
	if h.length == 0 {
		h.length = uint32(len(body))
	}
	frame := make([]byte, headerLength, headerLength+len(body))
	putHeader(frame, h)
	_, err := w.Write(append(frame, body...))
	return err
}

func (w *wire) write(h header, body []byte) {
	if err := w.tryWrite(h, body); err != nil {
		panic(fmt.Sprintf("write of %v: %v", h, err))
	}
}

// request sends a request for a method of testService.
func (w *wire) request(id streamID, method string, fl flags, m proto.Message) {
	req := &Request{Service: testService, Method: method}
	if m != nil {
		req.Payload = mustMarshal(m)
	}
	w.write(header{id: id, typ: messageTypeRequest, flags: fl}, mustMarshal(req))
}

// data sends a data frame with m, or without a message for nil.
func (w *wire) data(id streamID, fl flags, m proto.Message) {
	var body []byte
	if m != nil {
		body = mustMarshal(m)
	}
	w.write(header{id: id, typ: messageTypeData, flags: fl}, body)
}

// respond sends a response.
func (w *wire) respond(id streamID, resp *Response) {
	w.write(header{id: id, typ: messageTypeResponse}, mustMarshal(resp))
}

// tryRead returns the next frame.
func (w *wire) tryRead() (wireFrame, error) {
	var b [headerLength]byte
	if _, err := io.ReadFull(w, b[:]); err != nil {
		return wireFrame{}, err
	}
	f := wireFrame{header: parseHeader(b[:])}
	f.body = make([]byte, f.length)
	_, err := io.ReadFull(w, f.body)
	return f, err
}

func (w *wire) read() wireFrame {
	f, err := w.tryRead()
	if err != nil {
		panic(fmt.Sprintf("read: %v", err))
	}
	return f
}

// readResponse returns the next frame, which must be a response.
func (w *wire) readResponse() (streamID, *Response) {
	f := w.read()
	resp := &Response{}
	if f.typ != messageTypeResponse {
		panic(fmt.Sprintf("got %v, want a response", f.header))
	}
	if err := proto.Unmarshal(f.body, resp); err != nil {
		panic(err)
	}
	return f.id, resp
}

// readRequest returns the next frame, which must be a request.
func (w *wire) readRequest() (header, *Request) {
	f := w.read()
	req := &Request{}
	if f.typ != messageTypeRequest {
		panic(fmt.Sprintf("got %v, want a request", f.header))
	}
	if err := proto.Unmarshal(f.body, req); err != nil {
		panic(err)
	}
	return f.header, req
}

// mustMarshal encodes a message with the protobuf runtime instead of the code under test.
func mustMarshal(m proto.Message) []byte {
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		panic(err)
	}
	return b
}

// goErr runs f on another goroutine.
func goErr(f func() error) <-chan error {
	result := make(chan error, 1)
	go func() { result <- f() }()
	return result
}

// within returns a value from a channel, and fails after testTimeout.
func within[T any](t testing.TB, what string, ch <-chan T) T {
	t.Helper()
	timer := time.NewTimer(testTimeout)
	defer timer.Stop()
	select {
	case v := <-ch:
		return v
	case <-timer.C:
		t.Fatalf("%s: nothing after %v", what, testTimeout)
		panic("unreachable")
	}
}

// serverIdle waits until the server has no connection. It calls Shutdown, so that the test
// can use the server no more.
func serverIdle(t testing.TB, s *Server) {
	t.Helper()
	if err := s.Shutdown(testContext(t)); err != nil {
		t.Errorf("Shutdown: %v", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := len(s.conns); n != 0 {
		t.Errorf("%d connections are left in the server's table", n)
	}
}
