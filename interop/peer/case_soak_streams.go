//go:build streams

package main

import (
	"context"
	"math/rand"
)

func init() {
	cases["soak_streams"] = (*env).soakStreams
}

// soakStreams runs streams of all kinds beside the calls of soak.
func (e *env) soakStreams() error {
	return e.soakWith(func(r *rand.Rand) error {
		sizes := make([]int, r.Intn(20))
		for i := range sizes {
			sizes[i] = soakSize(r)
		}
		switch r.Intn(5) {
		case 0:
			return e.clientStream(sizes)
		case 1:
			return e.serverStream(append(sizes, 1)) // not none: see empty_stream_request
		case 2:
			return e.rounds(sizes)
		case 3:
			return e.leftStream(sizes)
		default:
			return e.soakCall(r)
		}
	})
}

// leftStream cancels a stream after some rounds. Nothing is unread then: releases up
// to v1.2.8 would hold the connection up.
func (e *env) leftStream(sizes []int) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	s, err := e.open(ctx, bothStream, "Echo", nil)
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
	cancel()
	return wantSentinel(s.RecvMsg(&bytesMsg{}), context.Canceled)
}
