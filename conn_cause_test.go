package ttrpc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"
)

// A causeTest is a call whose connection ends, with the causes that its handler finds.
type causeTest struct {
	end     func(s *Server, client *memConn)
	cause   error // that the causes are
	logged  bool  // the server's log has the same
	timeout time.Duration
	look    bool // the handler waits for its context, and has derived one from it
}

// The cause of a handler's context says why the connection ended, with or without a
// deadline, and whether or not the handler has used the context before. ServeConn and the
// log give the same reason.
func TestHandlerCauseOfConnection(t *testing.T) {
	errBroken := errors.New("the wire is broken")
	for name, test := range map[string]causeTest{
		"peer":     {cause: io.EOF, end: func(_ *Server, client *memConn) { client.Close() }},
		"failure":  {cause: errBroken, logged: true, end: func(_ *Server, client *memConn) { client.out.fail(errBroken, nil) }},
		"protocol": {cause: ErrProtocol, logged: true, end: func(_ *Server, client *memConn) { client.Write([]byte("0123456789")) }},
		"Close":    {cause: ErrServerClosed, end: func(s *Server, _ *memConn) { s.Close() }},
	} {
		for _, test.timeout = range []time.Duration{0, testTimeout} {
			for _, test.look = range []bool{false, true} {
				test.run(t, fmt.Sprintf("%s, timeout %v, look %v", name, test.timeout, test.look))
			}
		}
	}
}

func (test causeTest) run(t *testing.T, name string) {
	t.Helper()
	started, ended, result := make(chan struct{}), make(chan struct{}), make(chan context.Context, 2)
	rec := newLogRecorder()
	s, err := NewServer(WithServerLogger(rec))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	s.RegisterService(testService, &ServiceDesc{Methods: map[string]Method{"Wait": func(ctx context.Context, _ func(any) error) (any, error) {
		defer close(result)
		if test.look {
			child, cancel := context.WithCancel(ctx)
			defer cancel()
			close(started)
			<-child.Done()
			if test.timeout == 0 {
				result <- child
			}
		} else {
			close(started)
			<-ended
		}
		result <- ctx
		return nil, ctx.Err()
	}}})
	near, client := memPipe(1 << 16)
	defer client.Close()
	served := goErr(func() error { return s.ServeConn(context.Background(), near) })
	newWire(client).write(header{id: 1, typ: messageTypeRequest},
		mustMarshal(&Request{Service: testService, Method: "Wait", TimeoutNano: int64(test.timeout)}))
	within(t, "the handler", started)
	test.end(s, client)
	servedErr := within(t, "ServeConn", served)
	close(ended)
	for ctx := within(t, "a context", result); ctx != nil; ctx = within(t, "the handler's end", result) {
		if err, cause := ctx.Err(), context.Cause(ctx); err != context.Canceled || !errors.Is(cause, test.cause) {
			t.Errorf("%s: %v has ended with %v and the cause %v, want Canceled and %v", name, ctx, err, cause, test.cause)
		}
	}
	if test.cause == io.EOF && servedErr != nil || test.cause != io.EOF && !errors.Is(servedErr, test.cause) {
		t.Errorf("%s: ServeConn: got %v", name, servedErr)
	}
	if test.logged {
		line := rec.wait(t, "connection ", "failed: ")
		_, why, _ := strings.Cut(line, "failed: ")
		if !strings.Contains(servedErr.Error(), strings.TrimPrefix(why, "ttrpc: ")) {
			t.Errorf("%s: the log says %q, ServeConn %q", name, line, servedErr)
		}
	}
}
