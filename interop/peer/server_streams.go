//go:build streams

package main

import (
	"context"
	"fmt"
	"io"
	"sync/atomic"

	"github.com/containerd/ttrpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const streamService = "ttrpc.interop.Streams"

func registerStreams(s *ttrpc.Server) {
	s.RegisterService(streamService, &ttrpc.ServiceDesc{Streams: map[string]ttrpc.Stream{
		"Collect":      {Handler: collect, StreamingClient: true},
		"Feed":         {Handler: feed, StreamingServer: true},
		"FeedNil":      {Handler: feedNil, StreamingServer: true},
		"Echo":         {Handler: echo, StreamingClient: true, StreamingServer: true},
		"EchoAfterEOF": {Handler: echoAfterEOF, StreamingClient: true, StreamingServer: true},
		"Fail":         {Handler: failStream, StreamingClient: true, StreamingServer: true},
		"Hold":         {Handler: holdHandler, StreamingClient: true, StreamingServer: true},
		"Context":      {Handler: contextStream, StreamingServer: true},
	}})
}

// collect checks the numbered messages and sums them up.
func collect(_ context.Context, ss ttrpc.StreamServer) (interface{}, error) {
	count, total := 0, 0
	for {
		var m bytesMsg
		err := ss.RecvMsg(&m)
		if err == io.EOF {
			return &stringMsg{Value: collected(count, total)}, nil
		}
		if err != nil {
			return nil, err
		}
		if err := checkPattern(m.Value, count, len(m.Value)); err != nil {
			return nil, status.Error(codes.DataLoss, err.Error())
		}
		count, total = count+1, total+len(m.Value)
	}
}

func collected(count, total int) string {
	return fmt.Sprintf("%d messages of %d bytes", count, total)
}

// feed sends numbered messages of the sizes it was asked for.
func feed(_ context.Context, ss ttrpc.StreamServer) (interface{}, error) {
	var req bytesMsg
	if err := ss.RecvMsg(&req); err != nil {
		return nil, err
	}
	for i, size := range decodeSizes(req.Value) {
		if err := ss.SendMsg(&bytesMsg{Value: pattern(i, size)}); err != nil {
			return nil, err
		}
	}
	return nil, nil
}

// feedNil sends nil as often as it was asked to.
func feedNil(_ context.Context, ss ttrpc.StreamServer) (interface{}, error) {
	var req bytesMsg
	if err := ss.RecvMsg(&req); err != nil {
		return nil, err
	}
	for i := decodeSizes(req.Value)[0]; i > 0; i-- {
		if err := ss.SendMsg(nil); err != nil {
			return nil, err
		}
	}
	return nil, nil
}

func echo(_ context.Context, ss ttrpc.StreamServer) (interface{}, error) {
	for {
		var m bytesMsg
		err := ss.RecvMsg(&m)
		if err == io.EOF {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		if err := ss.SendMsg(&m); err != nil {
			return nil, err
		}
	}
}

// echoAfterEOF sends nothing until the client has half-closed.
func echoAfterEOF(_ context.Context, ss ttrpc.StreamServer) (interface{}, error) {
	var all [][]byte
	for {
		var m bytesMsg
		err := ss.RecvMsg(&m)
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, err
		}
		all = append(all, m.Value)
	}
	for _, value := range all {
		if err := ss.SendMsg(&bytesMsg{Value: value}); err != nil {
			return nil, err
		}
	}
	return nil, nil
}

// failStream ends with the status it was asked for, while the client is still
// open.
func failStream(_ context.Context, ss ttrpc.StreamServer) (interface{}, error) {
	var req bytesMsg
	if err := ss.RecvMsg(&req); err != nil {
		return nil, err
	}
	return nil, decodeFailure(req.Value)
}

// holdHandler answers one message and then waits for its context.
func holdHandler(ctx context.Context, ss ttrpc.StreamServer) (interface{}, error) {
	atomic.AddInt64(&handlers, 1)
	defer atomic.AddInt64(&handlers, -1)
	var m bytesMsg
	if err := ss.RecvMsg(&m); err != nil {
		return nil, err
	}
	if err := ss.SendMsg(&m); err != nil {
		return nil, err
	}
	<-ctx.Done()
	return nil, ctx.Err()
}

func contextStream(ctx context.Context, ss ttrpc.StreamServer) (interface{}, error) {
	if err := ss.RecvMsg(&emptyMsg{}); err != nil {
		return nil, err
	}
	m, err := encodeContext(ctx)
	if err != nil {
		return nil, err
	}
	return nil, ss.SendMsg(m)
}
