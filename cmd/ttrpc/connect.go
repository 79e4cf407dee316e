package main

import (
	"context"
	"errors"
	"net"

	"github.com/containerd/ttrpc/cmd/ttrpc/internal/address"
)

// dial connects to an address of the command line. Its errors are exitErrors.
func dial(ctx context.Context, addr string) (net.Conn, error) {
	conn, err := address.Dial(ctx, addr)
	switch {
	case errors.Is(err, address.ErrSyntax):
		return nil, &exitError{exitUsage, err}
	case err != nil:
		return nil, unreachable(err)
	}
	return conn, nil
}
