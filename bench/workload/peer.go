// Package workload is the common part of all peers of the benchmark: the cases,
// the load loops with their timing, the side channel between the two processes,
// and the handlers' work. A peer adds only its calls and its stubs, so that
// every figure is taken by the same code.
package workload

import (
	"context"
	"errors"
	"net"
	"strings"
)

// UnsupportedError is returned by a peer that lacks a feature which a case needs. It is
// reported as such, not as a failure.
type UnsupportedError struct{ Reason string }

func (e *UnsupportedError) Error() string { return "unsupported: " + e.Reason }

// Unsupported returns an UnsupportedError.
func Unsupported(reason string) error { return &UnsupportedError{Reason: reason} }

// Peer is one RPC implementation under test.
type Peer struct {
	// Serve answers calls from l until the process ends.
	Serve func(l net.Listener, o Options) error
	// Dial opens one connection to the server, by way of o.Connection.Dial.
	Dial func(addr string, o Options) (Conn, error)
}

// Options are the parts of a case that both sides of a peer must know.
type Options struct {
	Connection Connection
	// Procs is GOMAXPROCS of both sides, which Main sets; 0 is Go's default.
	Procs int `json:",omitempty"`
	// Real asks for the things that a call of a real program has besides its message:
	// an interceptor on either side (doing CheckMethod and CheckMetadata) and
	// the metadata entry MetadataKey. The deadline is already in the context
	// that Call gets.
	Real bool `json:",omitempty"`
}

// Method is one of the unary methods that every peer's server has.
type Method string

// Handle does the work of each.
const (
	Echo  Method = "Echo"  // returns the payload
	Burn  Method = "Burn"  // computes for as many rounds as the payload says
	Block Method = "Block" // sleeps for as many nanoseconds as the payload says
	Hold  Method = "Hold"  // never returns
)

// Methods lists every Method.
var Methods = []Method{Echo, Burn, Block, Hold}

// ParseMethod returns the method that ends a path such as /service/Echo.
func ParseMethod(path string) Method {
	return Method(path[strings.LastIndexByte(path, '/')+1:])
}

// StreamKind is one of the streaming methods.
type StreamKind string

// The streaming methods. A peer without streams returns an UnsupportedError
// from Conn.Stream.
const (
	// ServerStream answers a StreamSpec with that many messages of that size.
	ServerStream StreamKind = "ServerStream"
	// ClientStream counts messages and answers with Count of them.
	ClientStream StreamKind = "ClientStream"
	// BidiStream returns each message as it comes, after HandleMessage.
	BidiStream StreamKind = "BidiStream"
	// AwayStream does, too, and its handler is away now and then.
	AwayStream StreamKind = "AwayStream"
)

// Conn is a client's connection. Its methods are called by several callers at
// once.
type Conn interface {
	// Unary prepares calls of method with a request of payload, for one caller.
	Unary(method Method, payload []byte) Call
	// Stream opens a stream. Its payload is the request of a server stream, and
	// else the message of each Send.
	Stream(ctx context.Context, kind StreamKind, payload []byte) (Stream, error)
	Close() error
}

// Call does one unary call and returns the response's payload. As generated
// stubs do, it makes a new response message for each call; the request message
// is the caller's and may be made once.
type Call func(ctx context.Context) ([]byte, error)

// Stream is a client's side of a stream. It is used by one goroutine.
type Stream interface {
	Send() error
	CloseSend() error
	// Recv returns the next message's payload, io.EOF after the last. As
	// generated stubs do, it makes a new message each time.
	Recv() ([]byte, error)
}

// The metadata entry of a real call, as otelttrpc adds it.
const (
	MetadataKey   = "traceparent"
	MetadataValue = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
)

// CheckMetadata is the work of the server's interceptor: it looks at the entry,
// so that a peer which lost it on the way fails the case.
func CheckMetadata(value string) error {
	if value != MetadataValue {
		return errors.New("the metadata entry did not arrive")
	}
	return nil
}

// CheckMethod is the work of the client's interceptor: it looks at the method,
// as one that starts a span does.
func CheckMethod(path string) error {
	if !strings.HasSuffix(path, string(Echo)) {
		return errors.New("the client's interceptor got method " + path)
	}
	return nil
}
