// Command tiny is the smallest server of this peer, with one method. Its
// stripped size and its memory at start-up are measured.
package main

import (
	"context"
	"log"
	"net"
	"os"

	echopb "github.com/containerd/ttrpc/bench/messages/pb"
	"google.golang.org/protobuf/proto"
	"storj.io/drpc"
	"storj.io/drpc/drpcmux"
	"storj.io/drpc/drpcserver"
)

type encoding struct{}

func (encoding) Marshal(msg drpc.Message) ([]byte, error) {
	return proto.Marshal(msg.(proto.Message))
}

func (encoding) Unmarshal(buf []byte, msg drpc.Message) error {
	return proto.Unmarshal(buf, msg.(proto.Message))
}

type server struct{}

func (*server) Echo(_ context.Context, req *echopb.Echo) (*echopb.Echo, error) {
	return &echopb.Echo{Payload: req.Payload}, nil
}

type description struct{}

func (description) NumMethods() int { return 1 }

func (description) Method(int) (string, drpc.Encoding, drpc.Receiver, any, bool) {
	return "/ttrpc.bench.Bench/Echo", encoding{}, func(srv any, ctx context.Context, in, _ any) (drpc.Message, error) {
		return srv.(*server).Echo(ctx, in.(*echopb.Echo))
	}, (*server).Echo, true
}

func main() {
	log.SetFlags(0)
	l, err := net.Listen("unix", os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	mux := drpcmux.New()
	if err := mux.Register(&server{}, description{}); err != nil {
		log.Fatal(err)
	}
	log.Fatal(drpcserver.New(mux).Serve(context.Background(), l))
}
