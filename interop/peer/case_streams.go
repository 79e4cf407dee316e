//go:build streams

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"reflect"
	"time"

	"github.com/containerd/ttrpc"
)

func init() {
	cases["client_streaming"] = (*env).clientStreaming
	cases["server_streaming"] = (*env).serverStreaming
	cases["ping_pong"] = (*env).pingPong
	cases["empty_stream"] = (*env).emptyStream
	cases["empty_stream_request"] = (*env).emptyStreamRequest
	cases["nil_messages"] = (*env).nilMessages
	cases["half_close"] = (*env).halfClose
	cases["client_stream_10000"] = (*env).clientStream10000
	cases["server_stream_10000"] = (*env).serverStream10000
	cases["ping_pong_10000"] = (*env).pingPong10000
	cases["full_duplex_10000"] = (*env).fullDuplex10000
	cases["concurrent_streams"] = (*env).concurrentStreams
	cases["stream_limit_at"] = (*env).streamLimitAt
	cases["stream_metadata"] = (*env).streamMetadata
	cases["stream_deadline"] = (*env).streamDeadline
}

// The kinds of streams.
var (
	clientStreams = &ttrpc.StreamDesc{StreamingClient: true}
	serverStreams = &ttrpc.StreamDesc{StreamingServer: true}
	bothStream    = &ttrpc.StreamDesc{StreamingClient: true, StreamingServer: true}
)

// stream is a ClientStream of numbered messages.
type stream struct {
	ttrpc.ClientStream
	sent, received int
}

// open starts a stream; req is nil when the client streams.
func (c *conn) open(ctx context.Context, desc *ttrpc.StreamDesc, method string, req interface{}) (*stream, error) {
	cs, err := c.NewStream(ctx, desc, streamService, method, req)
	return &stream{ClientStream: cs}, err
}

func (s *stream) send(size int) error {
	if err := s.SendMsg(&bytesMsg{Value: pattern(s.sent, size)}); err != nil {
		return fmt.Errorf("send message %d: %w", s.sent, err)
	}
	s.sent++
	return nil
}

func (s *stream) receive(size int) error {
	var m bytesMsg
	if err := s.RecvMsg(&m); err != nil {
		return fmt.Errorf("receive message %d: %w", s.received, err)
	}
	if err := checkPattern(m.Value, s.received, size); err != nil {
		return err
	}
	s.received++
	return nil
}

func (s *stream) receiveEOF() error {
	if err := s.RecvMsg(&bytesMsg{}); err != io.EOF {
		return fmt.Errorf("after %d messages: got %v, want io.EOF", s.received, err)
	}
	return nil
}

// The sizes of gRPC's cases.
var (
	requestSizes  = []int{27182, 8, 1828, 45904}
	responseSizes = []int{31415, 9, 2653, 58979}
)

func repeated(size, n int) []int {
	sizes := make([]int, n)
	for i := range sizes {
		sizes[i] = size
	}
	return sizes
}

// clientStream sends messages of the sizes and checks the server's sum.
func (e *env) clientStream(sizes []int) error {
	s, err := e.open(context.Background(), clientStreams, "Collect", nil)
	if err != nil {
		return err
	}
	total := 0
	for _, size := range sizes {
		if err := s.send(size); err != nil {
			return err
		}
		total += size
	}
	if err := s.CloseSend(); err != nil {
		return err
	}
	var got stringMsg
	if err := s.RecvMsg(&got); err != nil {
		return err
	}
	if want := collected(len(sizes), total); got.Value != want {
		return fmt.Errorf("the server got %s, want %s", got.Value, want)
	}
	return nil
}

// serverStream asks for messages of the sizes and checks them.
func (e *env) serverStream(sizes []int) error {
	s, err := e.open(context.Background(), serverStreams, "Feed", encodeSizes(sizes...))
	if err != nil {
		return err
	}
	for _, size := range sizes {
		if err := s.receive(size); err != nil {
			return err
		}
	}
	return s.receiveEOF()
}

// nilMessages sends nil, and has the server send it.
func (e *env) nilMessages() error {
	const n = 3
	up, err := e.open(context.Background(), clientStreams, "Collect", nil)
	if err != nil {
		return err
	}
	for i := 0; i < n; i++ {
		if err := up.SendMsg(nil); err != nil {
			return err
		}
	}
	if err := up.CloseSend(); err != nil {
		return err
	}
	var got stringMsg
	if err := up.RecvMsg(&got); err != nil {
		return err
	}
	if want := collected(n, 0); got.Value != want {
		return fmt.Errorf("the server got %s, want %s", got.Value, want)
	}
	down, err := e.open(context.Background(), serverStreams, "FeedNil", encodeSizes(n))
	if err != nil {
		return err
	}
	for i := 0; i < n; i++ {
		m := bytesMsg{Value: []byte("old")}
		if err := down.RecvMsg(&m); err != nil {
			return fmt.Errorf("receive message %d: %w", i, err)
		}
		if len(m.Value) > 0 {
			return fmt.Errorf("message %d has %d bytes", i, len(m.Value))
		}
	}
	return down.receiveEOF()
}

// rounds sends a message of each size and waits for its echo.
func (e *env) rounds(sizes []int) error {
	s, err := e.open(context.Background(), bothStream, "Echo", nil)
	if err != nil {
		return err
	}
	for _, size := range sizes {
		if err := s.send(size); err != nil {
			return err
		}
		if err := s.receive(size); err != nil {
			return err
		}
	}
	if err := s.CloseSend(); err != nil {
		return err
	}
	return s.receiveEOF()
}

func (e *env) clientStreaming() error { return e.clientStream(requestSizes) }
func (e *env) serverStreaming() error { return e.serverStream(responseSizes) }
func (e *env) pingPong() error        { return e.rounds(requestSizes) }

const many, small = 10000, 32

func (e *env) clientStream10000() error { return e.clientStream(repeated(small, many)) }
func (e *env) serverStream10000() error { return e.serverStream(repeated(small, many)) }
func (e *env) pingPong10000() error     { return e.rounds(repeated(small, many)) }

// fullDuplex10000 does not wait for an echo before it sends the next message.
func (e *env) fullDuplex10000() error {
	s, err := e.open(context.Background(), bothStream, "Echo", nil)
	if err != nil {
		return err
	}
	sent := make(chan error, 1)
	go func() {
		for i := 0; i < many; i++ {
			if err := s.send(small); err != nil {
				sent <- err
				return
			}
		}
		sent <- s.CloseSend()
	}()
	for i := 0; i < many; i++ {
		if err := s.receive(small); err != nil {
			return err
		}
	}
	if err := s.receiveEOF(); err != nil {
		return err
	}
	return <-sent
}

func (e *env) emptyStream() error {
	return e.rounds(nil)
}

// emptyStreamRequest asks for no messages, with a request of no bytes.
func (e *env) emptyStreamRequest() error {
	return e.serverStream(nil)
}

// halfClose gets all its messages after it closed its own side.
func (e *env) halfClose() error {
	s, err := e.open(context.Background(), bothStream, "EchoAfterEOF", nil)
	if err != nil {
		return err
	}
	for _, size := range requestSizes {
		if err := s.send(size); err != nil {
			return err
		}
	}
	if err := s.CloseSend(); err != nil {
		return err
	}
	for _, size := range requestSizes {
		if err := s.receive(size); err != nil {
			return err
		}
	}
	return s.receiveEOF()
}

// concurrentStreams runs streams of each kind and unary calls side by side.
func (e *env) concurrentStreams() error {
	return concurrently(64, func(caller int) error {
		sizes := repeated(caller*10, 20)
		switch caller % 4 {
		case 0:
			return e.clientStream(sizes)
		case 1:
			return e.serverStream(sizes)
		case 2:
			return e.rounds(sizes)
		default:
			for range sizes {
				if err := e.exchange(caller, requestHeader+caller, caller); err != nil {
					return err
				}
			}
			return nil
		}
	})
}

// streamLimitAt fills a data frame to the limit, in both directions.
func (e *env) streamLimitAt() error {
	const n = messageLimit - 1024
	if err := e.rounds([]int{messageLimit - (delimited(n) - n)}); err != nil {
		return err
	}
	return e.alive()
}

// streamContextOf asks which parts of the caller's context reached a stream's handler.
func (e *env) streamContextOf(ctx context.Context) (callContext, error) {
	var c callContext
	s, err := e.open(ctx, serverStreams, "Context", &emptyMsg{})
	if err != nil {
		return c, err
	}
	var m bytesMsg
	if err := s.RecvMsg(&m); err != nil {
		return c, err
	}
	if err := s.receiveEOF(); err != nil {
		return c, err
	}
	return c, json.Unmarshal(m.Value, &c)
}

func (e *env) streamMetadata() error {
	got, err := e.streamContextOf(ttrpc.WithMetadata(context.Background(), someMetadata))
	if err == nil && !reflect.DeepEqual(ttrpc.MD(got.Metadata), someMetadata) {
		return fmt.Errorf("the handler got %.300q", got.Metadata)
	}
	return err
}

func (e *env) streamDeadline() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
	defer cancel()
	got, err := e.streamContextOf(ctx)
	if err == nil && (!got.HasDeadline || got.Remaining > time.Hour || got.Remaining < time.Hour-time.Minute) {
		return fmt.Errorf("the handler got %+v, want a little less than an hour", got)
	}
	return err
}
