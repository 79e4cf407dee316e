// Command drpc is a peer of the benchmark: storj.io/drpc with its default
// options, and stubs in the shape of generated ones.
package main

import (
	echopb "github.com/containerd/ttrpc/bench/messages/pb"
	"github.com/containerd/ttrpc/bench/workload"
	"google.golang.org/protobuf/proto"
	"storj.io/drpc"
)

const service = "/ttrpc.bench.Bench/"

func main() {
	workload.Main(workload.Peer{Serve: serve, Dial: dial})
}

// encoding is the one that protoc-gen-go-drpc generates for protobuf-go messages.
type encoding struct{}

func (encoding) Marshal(msg drpc.Message) ([]byte, error) {
	return proto.Marshal(msg.(proto.Message))
}

func (encoding) MarshalAppend(buf []byte, msg drpc.Message) ([]byte, error) {
	return proto.MarshalOptions{}.MarshalAppend(buf, msg.(proto.Message))
}

func (encoding) Unmarshal(buf []byte, msg drpc.Message) error {
	return proto.Unmarshal(buf, msg.(proto.Message))
}

// sending sends the same message each time and receives new ones.
type sending struct {
	drpc.Stream
	msg *echopb.Echo
}

func (s *sending) Send() error { return s.MsgSend(s.msg, encoding{}) }

func (s *sending) Recv() ([]byte, error) {
	m := new(echopb.Echo)
	if err := s.MsgRecv(m, encoding{}); err != nil {
		return nil, err
	}
	return m.GetPayload(), nil
}
