package ttrpc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode/utf8"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// Programs compare with these errors by == and by their text.
func TestSentinels(t *testing.T) {
	for _, test := range []struct {
		err  error
		text string
	}{
		{ErrProtocol, "protocol error"},
		{ErrClosed, "ttrpc: closed"},
		{ErrServerClosed, "ttrpc: server closed"},
		{ErrStreamClosed, "ttrpc: stream closed"},
		{ErrStreamFull, "ttrpc: stream buffer full"},
	} {
		if test.err.Error() != test.text {
			t.Errorf("got %q, want %q", test.err.Error(), test.text)
		}
	}
}

func TestOversizedMessageError(t *testing.T) {
	const limit = 4 << 20
	if err := OversizedMessageError(limit); err != nil {
		t.Errorf("a message of the greatest length: %v", err)
	}
	err := OversizedMessageError(limit + 1)
	var oversized *OversizedMessageErr
	if !errors.As(fmt.Errorf("wrapped: %w", err), &oversized) {
		t.Fatalf("got %T", err)
	}
	if got := oversized.RejectedLength(); got != limit+1 {
		t.Errorf("RejectedLength: got %d, want %d", got, limit+1)
	}
	if got := oversized.MaximumLength(); got != limit {
		t.Errorf("MaximumLength: got %d, want %d", got, limit)
	}
	if got := status.Code(oversized.Unwrap()); got != codes.ResourceExhausted {
		t.Errorf("code of the wrapped error: got %v, want ResourceExhausted", got)
	}
	if st, ok := status.FromError(err); !ok || st.Code() != codes.ResourceExhausted {
		t.Errorf("status: got %v, %v, want ResourceExhausted", st, ok)
	}
	const text = "message length 4194305 exceed maximum message size of 4194304"
	if !strings.Contains(err.Error(), text) {
		t.Errorf("text: got %q, want %q in it", err.Error(), text)
	}
}

func TestErrNotReceived(t *testing.T) {
	const want = "ttrpc: stream buffer full: RecvMsg was not called for 1s"
	if !errors.Is(errNotReceived, ErrStreamFull) || errNotReceived.Error() != want {
		t.Errorf("got %q, want %q, which is ErrStreamFull", errNotReceived, want)
	}
}

// opError returns an error as package net does.
func opError(err error) error {
	return &net.OpError{Op: "read", Net: "unix", Err: os.NewSyscallError("read", err)}
}

// Every error that means the end of a connection is bare ErrClosed for the calls on the
// connection (regression 3). So are failures with other errors (regression 6 of those open
// upstream).
func TestConnectionErrorsAreErrClosed(t *testing.T) {
	for _, err := range []error{
		io.EOF, io.ErrUnexpectedEOF, io.ErrClosedPipe, net.ErrClosed, os.ErrClosed,
		errConnReset, errPipe, errConnAborted, errNotConn,
		opError(errConnReset), opError(errPipe), opError(net.ErrClosed),
		fmt.Errorf("multiplexer: %w", opError(errConnReset)),
		fmt.Errorf("tls: %w", io.EOF),
		errNoMemory, errors.New("the cable is burning"),
	} {
		ours, theirs := net.Pipe()
		c := NewClient(&failingConn{Conn: ours, readErr: err})
		call := goErr(func() error { return c.Call(testContext(t), testService, "Echo", &KeyValue{}, &KeyValue{}) })
		newWire(theirs).read() // the request
		theirs.Close()         // and the read fails
		if got := within(t, err.Error(), call); got != ErrClosed {
			t.Errorf("%v: Call returned %v, want ErrClosed", err, got)
		}
		if got := c.Call(testContext(t), testService, "Echo", &KeyValue{}, &KeyValue{}); got != ErrClosed {
			t.Errorf("%v: the next Call returned %v, want ErrClosed", err, got)
		}
		if err := c.UserOnCloseWait(testContext(t)); err != nil {
			t.Errorf("the client did not close: %v", err)
		}
	}
}

// failingConn replaces the errors of another connection by an error of the test.
type failingConn struct {
	net.Conn
	readErr, writeErr error // nil to leave them as they are
}

func (c *failingConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if err != nil && c.readErr != nil {
		err = c.readErr
	}
	return n, err
}

func (c *failingConn) Write(p []byte) (int, error) {
	if c.writeErr != nil {
		return 0, c.writeErr
	}
	return c.Conn.Write(p)
}

type wrappedStatus struct{ st *status.Status }

func (w wrappedStatus) Error() string              { return "with a status" }
func (w wrappedStatus) GRPCStatus() *status.Status { return w.st }

// handlerError is an error that a handler returns, and its code at the client: for a
// wrapped one the same if inWrapped says so, and else Unknown.
type handlerError struct {
	err       error
	want      codes.Code
	inWrapped bool
}

var handlerErrors = []handlerError{
	{status.Error(codes.DataLoss, "m"), codes.DataLoss, true},
	{status.Error(codes.Code(77), "not one of grpc's"), 77, true},
	{wrappedStatus{status.New(codes.Aborted, "m")}, codes.Aborted, true},
	// Success in an error is none.
	{wrappedStatus{status.New(codes.OK, "m")}, codes.Unknown, true},
	{io.EOF, codes.OutOfRange, false},
	{context.Canceled, codes.Canceled, true},
	{context.DeadlineExceeded, codes.DeadlineExceeded, true},
	{os.ErrInvalid, codes.InvalidArgument, false},
	{os.ErrExist, codes.AlreadyExists, false},
	{os.ErrNotExist, codes.NotFound, false},
	{os.ErrPermission, codes.PermissionDenied, false},
	{&fs.PathError{Op: "mkdir", Path: "/p", Err: syscall.EEXIST}, codes.AlreadyExists, false},
	{&fs.PathError{Op: "open", Path: "/p", Err: syscall.ENOENT}, codes.NotFound, false},
	{&os.LinkError{Op: "link", Err: syscall.EACCES}, codes.PermissionDenied, false},
	{os.NewSyscallError("kill", syscall.EPERM), codes.PermissionDenied, false},
	{&fs.PathError{Op: "open", Path: "/p", Err: os.ErrInvalid}, codes.Unknown, false},
	{&net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ENOENT)}, codes.Unknown, false},
	{errors.Join(os.ErrNotExist), codes.Unknown, false},
	{io.ErrClosedPipe, codes.FailedPrecondition, false},
	{io.ErrNoProgress, codes.FailedPrecondition, false},
	{io.ErrShortBuffer, codes.FailedPrecondition, false},
	{io.ErrShortWrite, codes.FailedPrecondition, false},
	{io.ErrUnexpectedEOF, codes.FailedPrecondition, false},
	{errors.New("whatever"), codes.Unknown, false},
	{ErrClosed, codes.Unknown, false},
	{OversizedMessageError(5 << 20), codes.ResourceExhausted, true},
}

func TestHandlerErrors(t *testing.T) {
	next := make(chan error, 1)
	c, _ := newTestPair(t, &ServiceDesc{
		Methods: map[string]Method{"Fail": func(context.Context, func(any) error) (any, error) {
			return nil, <-next
		}},
		Streams: map[string]Stream{"FailStream": {StreamingServer: true, Handler: func(context.Context, StreamServer) (any, error) {
			return nil, <-next
		}}},
	})
	ctx := testContext(t)
	for _, test := range handlerErrors {
		for _, err := range []error{test.err, fmt.Errorf("wrapped: %w", test.err)} {
			want, _ := status.FromError(err)
			code := test.want
			if err != test.err && !test.inWrapped {
				code = codes.Unknown
			}
			next <- err
			got, ok := status.FromError(c.Call(ctx, testService, "Fail", &KeyValue{}, &KeyValue{}))
			if !ok || got.Code() != code {
				t.Errorf("%v: got %v, want code %v", err, got, code)
			}
			if got.Message() != want.Message() && got.Message() != err.Error() {
				t.Errorf("%v: the message became %q", err, got.Message())
			}

			next <- err
			cs, serr := c.NewStream(ctx, &StreamDesc{StreamingServer: true}, testService, "FailStream", &KeyValue{})
			if serr != nil {
				t.Fatal(serr)
			}
			if got := status.Code(cs.RecvMsg(&KeyValue{})); got != code {
				t.Errorf("%v on a stream: got %v, want code %v", err, got, code)
			}
		}
	}
}

// A status reaches the client unchanged, with its details.
func TestStatusDetails(t *testing.T) {
	want, err := status.New(codes.FailedPrecondition, "no").WithDetails(&KeyValue{Key: "why", Value: "because"}, &KeyValue{Key: "and"})
	if err != nil {
		t.Fatal(err)
	}
	c, _ := newTestPair(t, &ServiceDesc{Methods: map[string]Method{"Fail": func(context.Context, func(any) error) (any, error) {
		return nil, want.Err()
	}}})
	err = c.Call(testContext(t), testService, "Fail", &KeyValue{}, &KeyValue{})
	got := status.Convert(err)
	if !proto.Equal(got.Proto(), want.Proto()) {
		t.Errorf("got %v, want %v", got, want)
	}
	if d := got.Details(); len(d) != 2 || d[0].(*KeyValue).GetValue() != "because" {
		t.Errorf("details: %v", d)
	}
}

// A status that cannot go over the wire unchanged goes as well as it can.
func TestUnusualStatus(t *testing.T) {
	var next error
	c, _ := newTestPair(t, &ServiceDesc{Methods: map[string]Method{"Fail": func(context.Context, func(any) error) (any, error) {
		return nil, next
	}}})
	fail := func(err error) *status.Status {
		next = err
		return status.Convert(c.Call(testContext(t), testService, "Fail", &KeyValue{}, &KeyValue{}))
	}

	if got := fail(errors.New("not UTF-8: \xff.")); got.Code() != codes.Unknown || got.Message() != "not UTF-8: \uFFFD." {
		t.Errorf("invalid UTF-8: got %v", got)
	}

	// An error that would not fit into a frame loses details, then text.
	long := strings.Repeat("ä", 3<<20)
	got := fail(status.Error(codes.DataLoss, long))
	if got.Code() != codes.DataLoss || !strings.HasPrefix(long, got.Message()) || len(got.Message()) < 1000 || !utf8.ValidString(got.Message()) {
		t.Errorf("long message: got code %v and %d bytes", got.Code(), len(got.Message()))
	}
	withDetails, err := status.New(codes.DataLoss, "short").WithDetails(&KeyValue{Value: long})
	if err != nil {
		t.Fatal(err)
	}
	if got := fail(withDetails.Err()); got.Code() != codes.DataLoss || got.Message() != "short" {
		t.Errorf("long details: got %v", got)
	}
	if err := echo(testContext(t), c, "x"); status.Code(err) != codes.Unimplemented {
		t.Errorf("the connection has failed: %v", err)
	}
}

// lateContext has a deadline, but its timer is late: it does not end.
type lateContext struct {
	context.Context
	deadline time.Time
}

func (c *lateContext) Deadline() (time.Time, bool) { return c.deadline, true }

// A deadline that passes here is context.DeadlineExceeded, bare, even when the
// server is the first to say so, or when nobody has noticed yet.
func TestLocalDeadline(t *testing.T) {
	t.Run("plain", func(t *testing.T) { testLocalDeadline(t) })
	t.Run("intercepted", func(t *testing.T) {
		testLocalDeadline(t,
			WithUnaryClientInterceptor(func(ctx context.Context, req *Request, resp *Response, _ *UnaryClientInfo, next Invoker) error {
				return next(ctx, req, resp)
			}),
			WithStreamClientInterceptor(func(ctx context.Context, req *Request, _ *StreamClientInfo, next Streamer) (ClientStream, error) {
				return next(ctx, req)
			}))
	})
}

func testLocalDeadline(t *testing.T, opts ...ClientOpts) {
	c, w := wireClient(t, opts...)
	call := func(ctx context.Context) error {
		return c.Call(ctx, testService, "Echo", &KeyValue{}, &KeyValue{})
	}
	stream := func(ctx context.Context) error {
		cs, err := c.NewStream(ctx, &StreamDesc{StreamingServer: true}, testService, "Repeat", &KeyValue{})
		if err != nil {
			return err
		}
		return cs.RecvMsg(&KeyValue{})
	}
	for name, call := range map[string]func(context.Context) error{"Call": call, "stream": stream} {
		ended, cancel := context.WithTimeout(testContext(t), 0)
		cancel()
		for _, ctx := range []context.Context{ended, &lateContext{testContext(t), time.Now()}} {
			if err := call(ctx); err != context.DeadlineExceeded {
				t.Errorf("%s: over before it began: got %v", name, err)
			}
		}

		late := &lateContext{testContext(t), time.Now().Add(50 * time.Millisecond)}
		result := goErr(func() error { return call(late) })
		h, req := w.readRequest()
		if timeout := time.Duration(req.TimeoutNano); timeout <= 0 || timeout > 50*time.Millisecond {
			t.Errorf("%s: the request has a timeout of %v", name, timeout)
		}
		<-time.After(time.Until(late.deadline))
		w.respond(h.id, &Response{Status: newStatus(codes.DeadlineExceeded, "the server's")})
		if err := within(t, name, result); err != context.DeadlineExceeded {
			t.Errorf("%s: over here when the server says so: got %v", name, err)
		}

		// The server's own deadline is a status like any other.
		result = goErr(func() error { return call(testContext(t)) })
		h, _ = w.readRequest()
		w.respond(h.id, &Response{Status: newStatus(codes.DeadlineExceeded, "the server's")})
		if err := within(t, name, result); errors.Is(err, context.DeadlineExceeded) || status.Code(err) != codes.DeadlineExceeded {
			t.Errorf("%s: the server's own deadline: got %v", name, err)
		}
	}
}

// After the deadline other errors than its own stay as they are.
func TestLocalDeadlineAlone(t *testing.T) {
	ctx, cancel := context.WithDeadline(context.Background(), time.Time{})
	defer cancel()
	for _, err := range []error{nil, ErrClosed, status.Error(codes.Internal, "no")} {
		if got := localDeadline(ctx, err); got != err {
			t.Errorf("got %v, want %v", got, err)
		}
	}
}

// The first of the fates of received messages counts as received.
func TestDroppedRequestIsReceived(t *testing.T) {
	if !(&OversizedMessageErr{fate: requestDropped}).Received() {
		t.Error("a request that the server dropped counts as not received")
	}
}

// A connection that cannot be written to is closed.
func TestWriteErrorIsErrClosed(t *testing.T) {
	ours, theirs := net.Pipe()
	defer theirs.Close()
	c := NewClient(&failingConn{Conn: ours, writeErr: opError(io.ErrClosedPipe)})
	for i := 0; i < 3; i++ {
		if err := c.Call(testContext(t), testService, "Echo", &KeyValue{}, &KeyValue{}); err != ErrClosed {
			t.Errorf("call %d: got %v, want ErrClosed", i, err)
		}
	}
	if err := c.UserOnCloseWait(testContext(t)); err != nil {
		t.Error(err)
	}
}
