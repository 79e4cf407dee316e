package main

import (
	"context"
	"strconv"
	"sync"
	"time"

	"github.com/containerd/ttrpc"
)

// callLog has the client's interceptors: they give each call a request id, in
// its metadata, and remember how long the last one took. For a stream that is
// the time to open it.
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

// begin notes a call; the function that it returns notes the end.
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

// last returns how many calls there were, and the method and time of the last.
func (l *callLog) last() (calls int, fullMethod string, took time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.calls, l.method, l.took
}
