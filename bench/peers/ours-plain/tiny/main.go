// Command tiny is the smallest server of this peer, with one method. Its
// stripped size and its memory at start-up are measured.
package main

import (
	"context"
	"log"
	"net"
	"os"

	"github.com/containerd/ttrpc"
	echopb "github.com/containerd/ttrpc/bench/messages/pb"
)

func main() {
	log.SetFlags(0)
	l, err := net.Listen("unix", os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	srv, err := ttrpc.NewServer(ttrpc.WithServerExtensions(false))
	if err != nil {
		log.Fatal(err)
	}
	srv.Register("ttrpc.bench.Bench", map[string]ttrpc.Method{
		"Echo": func(ctx context.Context, unmarshal func(any) error) (any, error) {
			var req echopb.Echo
			if err := unmarshal(&req); err != nil {
				return nil, err
			}
			return &echopb.Echo{Payload: req.Payload}, nil
		},
	})
	log.Fatal(srv.Serve(context.Background(), l))
}
