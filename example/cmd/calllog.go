package main

import (
	"context"
	"strconv"
	"sync"
	"time"

	"github.com/containerd/ttrpc"
)

// callLog has the client's interceptors. They add a request id to the metadata of each call,
// and record the time of the last call, or for a stream the time to open it.
type callLog struct {
	mu     sync.Mutex
	calls  int
	method string
	took   time.Duration
}

func (l *callLog) unary(ctx context.Context, req *ttrpc.Request, resp *ttrpc.Response, info *ttrpc.UnaryClientInfo, next ttrpc.Invoker) error {
	defer l.begin(req, info.FullMethod)()
	return next(ctx, req, resp)
}

func (l *callLog) stream(ctx context.Context, req *ttrpc.Request, info *ttrpc.StreamClientInfo, next ttrpc.Streamer) (ttrpc.ClientStream, error) {
	defer l.begin(req, info.FullMethod)()
	return next(ctx, req)
}

// begin records the start of a call; end records its end.
func (l *callLog) begin(req *ttrpc.Request, fullMethod string) (end func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.calls++
	req.Metadata = append(req.Metadata, &ttrpc.KeyValue{Key: "request-id", Value: strconv.Itoa(l.calls)})
	start := time.Now()
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.method, l.took = fullMethod, time.Since(start)
	}
}

// last returns the number of calls, and the method and time of the last call.
func (l *callLog) last() (calls int, fullMethod string, took time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.calls, l.method, l.took
}
