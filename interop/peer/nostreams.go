//go:build !streams

package main

import (
	"context"
	"errors"

	"github.com/containerd/ttrpc"
)

func registerStreams(*ttrpc.Server) {}

func holdStream(context.Context, *conn) error {
	return errors.New("this build has no streams")
}
