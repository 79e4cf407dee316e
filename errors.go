package ttrpc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"time"

	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

var (
	// ErrProtocol means that the peer, or the caller, broke a rule of the protocol. It is
	// always wrapped, in an error whose text names the rule.
	ErrProtocol = errors.New("protocol error")

	// ErrClosed is returned by calls and streams of a client whose connection has ended.
	// It is returned unwrapped, with four exceptions. Calls in flight when the server
	// violates the protocol, and every call to a peer that speaks another protocol, get an
	// error that matches both ErrClosed and ErrProtocol. Calls whose request cannot be
	// written, except because the connection is closed, get an error that matches
	// ErrClosed and the cause. Calls that a server with extensions has not begun, because
	// it shuts down, get ErrDraining.
	ErrClosed = errors.New("ttrpc: closed")

	// ErrServerClosed is returned, unwrapped, by Serve and ServeConn after Close or
	// Shutdown.
	ErrServerClosed = errors.New("ttrpc: server closed")

	// ErrStreamClosed is returned by a stream's SendMsg and CloseSend after CloseSend, and
	// by a handler's SendMsg after the handler has returned.
	ErrStreamClosed = errors.New("ttrpc: stream closed")

	// ErrStreamFull ends a stream whose receiver took no message for a second while the
	// stream's buffer was full, so that the stream no longer holds up the other calls on
	// its connection. If both sides have extensions, the sender waits instead, and only a
	// sender that does not wait loses its stream. It is always wrapped. (Since v1.2.9.)
	ErrStreamFull = errors.New("ttrpc: stream buffer full")
)

// errNotReceived is ErrStreamFull with its reason.
var errNotReceived = fmt.Errorf("%w: RecvMsg was not called for %v", ErrStreamFull, slowConsumerLimit)

// errOverrun is ErrStreamFull for a peer that sends more than its window.
var errOverrun = fmt.Errorf("%w: the peer sends more than the window of the stream", ErrStreamFull)

// OversizedMessageErr means that a message is longer than the limit of its connection.
// SendMsg and NewStream return it, and Call for its request, before anything is sent; the
// connection stays usable. RecvMsg, and Call for the response of a handler that has run,
// return it for a message that arrived and was dropped: see Received. Its gRPC code is
// ResourceExhausted. (Since v1.2.6.)
type OversizedMessageErr struct {
	messageLength int
	maximumLength int
	fate          messageFate
	err           error
}

// messageFate names the message that was too long, and its fate. The text of the error
// may go to the peer, so it names client and server.
type messageFate uint8

const (
	fateUnknown messageFate = iota
	requestNotSent
	responseNotSent
	messageNotSent
	requestDropped
	responseDropped
	messageDropped
)

var messageFates = [...]string{
	fateUnknown:     "",
	requestNotSent:  "the request was not sent",
	responseNotSent: "the response was not sent",
	messageNotSent:  "the message was not sent",
	requestDropped:  "the server dropped the request",
	responseDropped: "the client dropped the response",
	messageDropped:  "the receiver dropped the message",
}

func (mf messageFate) String() string { return messageFates[mf] }

// droppedFrame returns the fate of a received frame that was too long.
func droppedFrame(t messageType) messageFate {
	switch t {
	case messageTypeRequest:
		return requestDropped
	case messageTypeResponse:
		return responseDropped
	}
	return messageDropped
}

// OversizedMessageError returns an *OversizedMessageErr if messageLength exceeds the
// default limit of 4 MiB, otherwise nil. messageLength is in bytes and includes the
// envelope, but not the header of the frame.
func OversizedMessageError(messageLength int) error {
	return checkMessageLength(messageLength, defaultMaxMessageLength, fateUnknown)
}

// checkMessageLength returns an *OversizedMessageErr with the given fate if length exceeds
// maximum. Its text begins as it does in releases: programs parse the numbers.
func checkMessageLength(length, maximum int, fate messageFate) error {
	if length <= maximum {
		return nil
	}
	text := fmt.Sprintf("message length %d exceed maximum message size of %d", length, maximum)
	if fate != fateUnknown {
		text += fmt.Sprintf(": %v; Limits.MaxMessageLength is the limit", fate)
	}
	return &OversizedMessageErr{
		messageLength: length,
		maximumLength: maximum,
		fate:          fate,
		err:           status.Error(codes.ResourceExhausted, text),
	}
}

// Error returns the text of the status.
func (e *OversizedMessageErr) Error() string { return e.err.Error() }

// Unwrap returns the error with the gRPC status.
func (e *OversizedMessageErr) Unwrap() error { return e.err }

// GRPCStatus returns a status ResourceExhausted with the error's text. Package
// google.golang.org/grpc/status calls it; without it, the text of a status made from this
// error would quote another status.
func (e *OversizedMessageErr) GRPCStatus() *status.Status { return status.Convert(e.err) }

// RejectedLength returns the length of the refused message in bytes, including its
// envelope.
func (e *OversizedMessageErr) RejectedLength() int { return e.messageLength }

// Received reports whether the message arrived from the peer and was dropped here.
// Otherwise this side refused to send the message, and the peer has seen nothing of it.
// (Not in released versions.)
func (e *OversizedMessageErr) Received() bool { return e.fate >= requestDropped }

// MaximumLength returns the limit in bytes, including the envelope.
func (e *OversizedMessageErr) MaximumLength() int { return e.maximumLength }

// protocolError is ErrProtocol with the rule that was broken.
type protocolError struct{ text string }

func errProtocol(format string, args ...any) error {
	return &protocolError{text: fmt.Sprintf(format, args...)}
}

func (e *protocolError) Error() string { return "ttrpc: " + ErrProtocol.Error() + ": " + e.text }
func (e *protocolError) Unwrap() error { return ErrProtocol }

// streamError is an error of one stream, after which the connection goes on. Every other
// error from reading or handling a frame ends the connection.
type streamError struct {
	h    header     // of the offending frame
	code codes.Code // of the status that a server sends to the client
	err  error      // the error of this side of the stream
}

func (e *streamError) Error() string { return fmt.Sprintf("stream %d: %v", e.h.id, e.err) }
func (e *streamError) Unwrap() error { return e.err }

func newStatus(code codes.Code, format string, args ...any) *spb.Status {
	return &spb.Status{Code: int32(code), Message: fmt.Sprintf(format, args...)}
}

// withCode gives err a gRPC code and keeps its chain for errors.Is.
func withCode(code codes.Code, err error) error { return &codeError{code, err} }

func errInternal(format string, args ...any) error {
	return withCode(codes.Internal, fmt.Errorf(format, args...))
}

type codeError struct {
	code codes.Code
	err  error
}

func (e *codeError) Error() string { return e.err.Error() }
func (e *codeError) Unwrap() error { return e.err }

// GRPCStatus is called by package google.golang.org/grpc/status.
func (e *codeError) GRPCStatus() *status.Status { return status.New(e.code, e.err.Error()) }

// closedErrors are the errors that a connection returns once it is over.
var closedErrors = append([]error{
	io.EOF, io.ErrUnexpectedEOF, io.ErrClosedPipe, net.ErrClosed, os.ErrClosed,
}, closedErrnos...)

func isClosedError(err error) bool {
	for _, target := range closedErrors {
		if errors.Is(err, target) {
			return true
		}
	}
	return false
}

// connError is the error of calls in flight when the peer breaks the protocol, and of
// calls that cannot be sent although the peer is there. It matches ErrClosed and its cause.
type connError struct{ cause error }

func (e *connError) Error() string {
	return "ttrpc: connection failed: " + bareText(e.cause)
}

// bareText returns the text of err for a longer text, which begins with the name of the
// package already.
func bareText(err error) string { return strings.TrimPrefix(err.Error(), "ttrpc: ") }

func (e *connError) Unwrap() []error { return []error{ErrClosed, e.cause} }

// closeError turns the error that ended a connection into the error of its calls:
// ErrClosed, unwrapped, unless the peer broke the protocol. Programs compare errors with
// ErrClosed, and a connection that cannot be read is as closed as any other.
func closeError(err error) error {
	if errors.Is(err, ErrProtocol) {
		return &connError{cause: err}
	}
	return ErrClosed
}

// writeError turns the error that ended writing into the error of calls whose requests
// were not written: ErrClosed, unwrapped, if err only says that the connection is over.
func writeError(err error) error {
	if errors.Is(err, ErrClosed) || isClosedError(err) {
		return ErrClosed
	}
	return &connError{cause: err}
}

// statusOf turns the error of a handler into the status that the client receives. A gRPC
// status goes unchanged; any other error gets the code of codeOf. It returns nil for nil.
func statusOf(err error) *spb.Status {
	if err == nil {
		return nil
	}
	var pb *spb.Status
	if s, ok := status.FromError(err); ok && s.Code() != codes.OK {
		pb = s.Proto()
	} else {
		pb = &spb.Status{Code: int32(codeOf(err)), Message: err.Error()}
	}
	// Protobuf refuses to encode a string that is not UTF-8.
	pb.Message = strings.ToValidUTF8(pb.Message, "\uFFFD")
	return pb
}

// codeOf returns the gRPC code of a handler's error, Unknown for most. It looks for the
// errors of contexts in the whole chain, and for the others only in the error itself and
// in the wrappers of package os: the error of a handler that failed to start a process
// wraps fs.ErrNotExist, and clients must not mistake it for the loss of their object.
func codeOf(err error) codes.Code {
	switch err {
	case io.EOF:
		return codes.OutOfRange
	case os.ErrInvalid:
		return codes.InvalidArgument
	case io.ErrClosedPipe, io.ErrNoProgress, io.ErrShortBuffer, io.ErrShortWrite, io.ErrUnexpectedEOF:
		return codes.FailedPrecondition
	}
	switch {
	case errors.Is(err, context.Canceled):
		return codes.Canceled
	case errors.Is(err, context.DeadlineExceeded):
		return codes.DeadlineExceeded
	case os.IsExist(err):
		return codes.AlreadyExists
	case os.IsNotExist(err):
		return codes.NotFound
	case os.IsPermission(err):
		return codes.PermissionDenied
	}
	return codes.Unknown
}

// plural returns "1 thing" or "2 things".
func plural(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

// truncate returns the first n bytes of s, without a partial rune.
func truncate(s string, n int) string {
	return strings.ToValidUTF8(s[:n], "")
}

// clientError turns the status of a response into an error: nil for OK and for no status.
func clientError(pb *spb.Status) error {
	if pb == nil || codes.Code(pb.Code) == codes.OK {
		return nil
	}
	return status.ErrorProto(pb)
}

// localDeadline returns context.DeadlineExceeded instead of the server's status of that
// name if the deadline of ctx has passed: the server may notice first, and the caller gets
// the same error either way.
func localDeadline(ctx context.Context, err error) error {
	if err != nil && status.Code(err) == codes.DeadlineExceeded {
		if deadline, ok := ctx.Deadline(); ok && !time.Now().Before(deadline) {
			return context.DeadlineExceeded
		}
	}
	return err
}
