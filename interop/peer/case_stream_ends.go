//go:build streams

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/containerd/ttrpc"
	"google.golang.org/grpc/codes"
)

func init() {
	cases["status_code_and_message_stream"] = (*env).statusCodeAndMessageStream
	cases["special_status_message_stream"] = (*env).specialStatusMessageStream
	cases["unimplemented_method_stream"] = (*env).unimplementedMethodStream
	cases["unimplemented_service_stream"] = (*env).unimplementedServiceStream
	cases["cancel_after_begin"] = (*env).cancelAfterBegin
	cases["cancel_after_first_response"] = (*env).cancelAfterFirstResponse
	cases["cancel_with_unread"] = (*env).cancelWithUnread
	cases["timeout_on_sleeping_server_stream"] = (*env).timeoutOnSleepingServerStream
	cases["close_in_stream"] = (*env).closeInStream
	cases["server_killed_in_stream"] = (*env).serverKilledInStream
	cases["client_killed_in_stream"] = (*env).clientKilledInStream
}

// failStream has the server end a stream with a status while the client has
// not closed its side.
func (e *env) failStream(f failure) error {
	s, err := e.open(context.Background(), bothStream, "Fail", nil)
	if err != nil {
		return err
	}
	if err := s.SendMsg(f.encode()); err != nil {
		return err
	}
	if err := f.check(s.RecvMsg(&bytesMsg{})); err != nil {
		return err
	}
	return e.alive()
}

func (e *env) statusCodeAndMessageStream() error {
	for code := codes.Canceled; code <= codes.Unauthenticated; code++ {
		f := failure{Code: code, Message: "test status message", Details: []string{"a detail"}}
		if err := e.failStream(f); err != nil {
			return err
		}
	}
	return nil
}

func (e *env) specialStatusMessageStream() error {
	return e.failStream(failure{Code: codes.Unknown, Message: specialMessage})
}

func (e *env) unimplementedMethodStream() error {
	return e.unimplementedStream(streamService, "Nothing")
}

func (e *env) unimplementedServiceStream() error {
	return e.unimplementedStream("ttrpc.interop.Nothing", "Echo")
}

func (e *env) unimplementedStream(service, method string) error {
	s, err := e.NewStream(context.Background(), bothStream, service, method, nil)
	if err != nil {
		return err
	}
	if err := wantCode(s.RecvMsg(&bytesMsg{}), codes.Unimplemented); err != nil {
		return err
	}
	return e.alive()
}

// receiveEnd waits for a stream to end.
func (s *stream) receiveEnd() error {
	ended := make(chan error, 1)
	go func() { ended <- s.RecvMsg(&bytesMsg{}) }()
	select {
	case err := <-ended:
		return err
	case <-time.After(patience):
		return errors.New("RecvMsg did not return")
	}
}

func (e *env) cancelAfterBegin() error {
	ctx, cancel := context.WithCancel(context.Background())
	s, err := e.open(ctx, clientStreams, "Collect", nil)
	cancel()
	if err != nil {
		return err
	}
	if err := wantCanceled(s.receiveEnd()); err != nil {
		return err
	}
	return e.alive()
}

func (e *env) cancelAfterFirstResponse() error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	s, err := e.open(ctx, bothStream, "Echo", nil)
	if err != nil {
		return err
	}
	if err := s.send(27182); err != nil {
		return err
	}
	if err := s.receive(27182); err != nil {
		return err
	}
	cancel()
	if err := wantCanceled(s.receiveEnd()); err != nil {
		return err
	}
	return e.alive()
}

// cancelWithUnread cancels streams that have ended, while the client has not
// received all. It may get the rest or Canceled, but no early io.EOF.
func (e *env) cancelWithUnread() error {
	// Not e's own connection, which a client may rightly hold up while a stream
	// has unread messages.
	other, err := dial(e.socket)
	if err != nil {
		return err
	}
	defer other.Close()
	sizes := repeated(small, 10)
	for i := 0; i < 20; i++ {
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		s, err := e.open(ctx, serverStreams, "Feed", encodeSizes(sizes...))
		if err != nil {
			return err
		}
		if err := s.receive(small); err != nil {
			return err
		}
		for j := 0; j < 5; j++ { // and the rest has come, most likely
			if err := other.alive(); err != nil {
				return err
			}
		}
		cancel()
		for err == nil {
			err = s.receive(small)
		}
		if errors.Is(err, io.EOF) {
			if s.received != len(sizes) {
				return fmt.Errorf("got io.EOF after %d of %d messages", s.received, len(sizes))
			}
		} else if err := wantCanceled(err); err != nil {
			return err
		}
	}
	return e.alive()
}

func (e *env) timeoutOnSleepingServerStream() error {
	ctx, cancel := context.WithTimeout(context.Background(), short)
	defer cancel()
	s, err := e.open(ctx, bothStream, "Echo", nil)
	if err != nil {
		return err
	}
	if err := wantDeadline(s.receiveEnd()); err != nil {
		return err
	}
	return e.alive()
}

func wantCanceled(err error) error {
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return wantCode(err, codes.Canceled)
}

// openHeld opens a stream whose handler waits after the first round.
func openHeld(ctx context.Context, c *conn) (*stream, error) {
	s, err := c.open(ctx, bothStream, "Hold", nil)
	if err != nil {
		return nil, err
	}
	if err := s.send(small); err != nil {
		return nil, err
	}
	return s, s.receive(small)
}

func holdStream(ctx context.Context, c *conn) error {
	_, err := openHeld(ctx, c)
	return err
}

// startStreams opens held streams and waits for the end of each.
func (c *conn) startStreams() ([]*stream, <-chan error, error) {
	var streams []*stream
	ended := make(chan error, held)
	for i := 0; i < held; i++ {
		s, err := openHeld(context.Background(), c)
		if err != nil {
			return nil, nil, err
		}
		streams = append(streams, s)
		go func() { ended <- s.RecvMsg(&bytesMsg{}) }()
	}
	return streams, ended, nil
}

// wantStreamsEnded checks streams whose connection has ended.
func (c *conn) wantStreamsEnded(streams []*stream, ended <-chan error) error {
	if err := wantEnded(ended, held); err != nil {
		return err
	}
	for _, s := range streams {
		if err := s.send(small); err == nil {
			return errors.New("SendMsg works after the connection ended")
		}
	}
	if _, err := c.open(context.Background(), bothStream, "Echo", nil); err != ttrpc.ErrClosed {
		return fmt.Errorf("the next stream: got %v, want %v itself", err, ttrpc.ErrClosed)
	}
	return c.wantClosed()
}

func (e *env) closeInStream() error {
	return e.wantNothingLeft(func() error {
		c, err := dial(e.socket)
		if err != nil {
			return err
		}
		streams, ended, err := c.startStreams()
		if err != nil {
			return err
		}
		c.Close()
		return c.wantStreamsEnded(streams, ended)
	})
}

func (e *env) serverKilledInStream() error {
	return e.withServer(func(server *process, c *conn) error {
		streams, ended, err := c.startStreams()
		if err != nil {
			return err
		}
		server.kill()
		return c.wantStreamsEnded(streams, ended)
	})
}

func (e *env) clientKilledInStream() error {
	return e.wantNothingLeft(func() error { return e.killHolder("stream") })
}
