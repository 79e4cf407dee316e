// Command tiny is the smallest server of this peer, with one method. Its
// stripped size and its memory at start-up are measured.
package main

import (
	"context"
	"log"
	"net"
	"os"

	echopb "github.com/containerd/ttrpc/bench/messages/pb"
	"google.golang.org/grpc"
)

func main() {
	log.SetFlags(0)
	l, err := net.Listen("unix", os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	srv := grpc.NewServer()
	srv.RegisterService(&grpc.ServiceDesc{
		ServiceName: "ttrpc.bench.Bench",
		Methods: []grpc.MethodDesc{{
			MethodName: "Echo",
			Handler: func(_ any, _ context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
				req := new(echopb.Echo)
				if err := decode(req); err != nil {
					return nil, err
				}
				return &echopb.Echo{Payload: req.Payload}, nil
			},
		}},
	}, nil)
	log.Fatal(srv.Serve(l))
}
