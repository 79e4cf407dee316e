package main

import (
	"context"
	"fmt"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/socket"
)

// dial connects a client with the interceptors of a callLog.
func dial(ctx context.Context, path string) (*ttrpc.Client, *callLog, error) {
	calls := &callLog{}
	client, err := socket.Dial(ctx, path,
		ttrpc.WithUnaryClientInterceptor(calls.unary),
		ttrpc.WithStreamClientInterceptor(calls.stream))
	if err != nil {
		return nil, nil, fmt.Errorf("%w (start a server: go run ./example/cmd server -socket %s)", err, path)
	}
	return client, calls, nil
}
