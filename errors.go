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
	// ErrProtocol says that the other side, or the caller, broke a rule of
	// the protocol. It comes wrapped, in an error whose text names the rule.
	ErrProtocol = errors.New("protocol error")

	// ErrClosed is returned by calls and streams of a client whose connection has
	// ended. It is bare, save for what waits while the server breaks the protocol,
	// and for every call on a connection whose peer speaks another protocol: these
	// get an error that Is both ErrClosed and ErrProtocol.
	ErrClosed = errors.New("ttrpc: closed")

	// ErrServerClosed is returned, bare, by Serve after Close or Shutdown.
	ErrServerClosed = errors.New("ttrpc: server closed")

	// ErrStreamClosed is returned by a stream's SendMsg and CloseSend after
	// CloseSend, or in a handler after the stream has ended.
	ErrStreamClosed = errors.New("ttrpc: stream closed")

	// ErrStreamFull ends a stream whose receiver took no message for a
	// second while its buffer was full: the connection's other calls are not
	// held up by it any longer. It comes wrapped. (Since v1.2.9.)
	ErrStreamFull = errors.New("ttrpc: stream buffer full")
)

// errNotReceived is ErrStreamFull with its reason.
var errNotReceived = fmt.Errorf("%w: RecvMsg was not called for %v", ErrStreamFull, slowConsumerLimit)

// OversizedMessageErr says that a message is longer than the limit of its
// connection. From SendMsg and NewStream, and from Call for its request, nothing was
// sent and the connection is as before. A message that has come and was thrown away
// for its length is reported by it, too: by RecvMsg, and by Call for the response of
// a handler that has run. As a status it is ResourceExhausted. (Since v1.2.6.)
type OversizedMessageErr struct {
	messageLength int
	maximumLength int
	fate          messageFate
	err           error
}

// messageFate says which message was too long, and what became of it. The text of
// the error may go to the other side, and so it names the sides.
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

func (f messageFate) String() string { return messageFates[f] }

// droppedFrame is the fate of a frame that was too long for this side.
func droppedFrame(t messageType) messageFate {
	switch t {
	case messageTypeRequest:
		return requestDropped
	case messageTypeResponse:
		return responseDropped
	}
	return messageDropped
}

// OversizedMessageError returns an *OversizedMessageErr when messageLength is
// over the default limit of 4 MiB, else nil. The length is of all that follows
// a frame's header, in bytes.
func OversizedMessageError(messageLength int) error {
	return checkMessageLength(messageLength, defaultMaxMessageLength, fateUnknown)
}

// checkMessageLength returns an error of a message over the maximum, with that fate. The
// text begins as in releases: programs read the numbers from it.
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

// GRPCStatus is looked for by package google.golang.org/grpc/status. Without it
// the text of a status made from this error would have that of a status in it.
func (e *OversizedMessageErr) GRPCStatus() *status.Status { return status.Convert(e.err) }

// RejectedLength returns the length of the message that was refused, in bytes,
// with its envelope.
func (e *OversizedMessageErr) RejectedLength() int { return e.messageLength }

// Received reports whether the message had come from the other side and was dropped
// here. Otherwise this side refused to send it, and the other has not seen anything of
// it. (Not in released versions.)
func (e *OversizedMessageErr) Received() bool { return e.fate >= requestDropped }

// MaximumLength returns the limit in bytes, which includes the envelope.
func (e *OversizedMessageErr) MaximumLength() int { return e.maximumLength }

// protocolError is ErrProtocol with the rule that was broken.
type protocolError struct{ text string }

func errProtocol(format string, args ...any) error {
	return &protocolError{text: fmt.Sprintf(format, args...)}
}

func (e *protocolError) Error() string { return "ttrpc: " + ErrProtocol.Error() + ": " + e.text }
func (e *protocolError) Unwrap() error { return ErrProtocol }

// streamError is an error that concerns one stream: the connection goes on.
// Every other error out of the frame layer, or of handling a frame, ends it.
type streamError struct {
	h    header     // of the frame that did it
	code codes.Code // what a server tells the client
	err  error      // what our side of the stream gets
}

func (e *streamError) Error() string { return fmt.Sprintf("stream %d: %v", e.h.id, e.err) }
func (e *streamError) Unwrap() error { return e.err }

func newStatus(code codes.Code, format string, args ...any) *spb.Status {
	return &spb.Status{Code: int32(code), Message: fmt.Sprintf(format, args...)}
}

// withCode gives err a gRPC code. What errors.Is finds in err is still found.
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

// GRPCStatus is looked for by package google.golang.org/grpc/status.
func (e *codeError) GRPCStatus() *status.Status { return status.New(e.code, e.err.Error()) }

// closedErrors are the ways in which a connection says that it is over.
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

// connError is what calls get that wait when the peer breaks the protocol, and those
// that cannot be sent though the peer is there. It is ErrClosed as well as its cause.
type connError struct{ cause error }

func (e *connError) Error() string {
	return "ttrpc: connection failed: " + bareText(e.cause)
}

// bareText returns the text of err for a longer text, which begins with the name of the
// package already.
func bareText(err error) string { return strings.TrimPrefix(err.Error(), "ttrpc: ") }

func (e *connError) Unwrap() []error { return []error{ErrClosed, e.cause} }

// closeError turns the error that ended a connection into what its calls
// return: ErrClosed, bare, unless the peer broke the protocol. Programs compare
// with it, and a connection that cannot be read is as closed as any.
func closeError(err error) error {
	if errors.Is(err, ErrProtocol) {
		return &connError{cause: err}
	}
	return ErrClosed
}

// writeError turns the error that ended writing into what a call returns whose request
// was not written: ErrClosed, bare, when it only says that the connection is over.
func writeError(err error) error {
	if errors.Is(err, ErrClosed) || isClosedError(err) {
		return ErrClosed
	}
	return &connError{cause: err}
}

// statusOf turns the error of a handler into the status that the client
// receives: a gRPC status as it is, the errors of codeOf by kind, anything else
// as Unknown. It returns nil for nil.
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

// codeOf finds the errors of contexts in wrapped errors, too. The others count
// bare alone, save for the wrappers of package os: the error of a handler that failed
// to start a process wraps fs.ErrNotExist, and a client must not take that for the
// answer that its object is gone.
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

// truncate cuts s to at most n bytes, between runes.
func truncate(s string, n int) string {
	return strings.ToValidUTF8(s[:n], "")
}

// clientError turns a status that came with a response into an error; nil for
// none and for OK.
func clientError(pb *spb.Status) error {
	if pb == nil || codes.Code(pb.Code) == codes.OK {
		return nil
	}
	return status.ErrorProto(pb)
}

// localDeadline returns context.DeadlineExceeded in place of the server's status
// of that name when the call's own deadline has passed: the server may notice
// that first, and the caller gets the same error either way.
func localDeadline(ctx context.Context, err error) error {
	if err != nil && status.Code(err) == codes.DeadlineExceeded {
		if deadline, ok := ctx.Deadline(); ok && !time.Now().Before(deadline) {
			return context.DeadlineExceeded
		}
	}
	return err
}
