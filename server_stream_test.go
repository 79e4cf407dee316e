package ttrpc

import (
	"context"
	"errors"
	"io"
	"testing"

	"google.golang.org/protobuf/types/known/emptypb"
)

// The request of a server stream is delivered when it encodes to no bytes, and by
// clients that leave the field out, as protobuf does.
func TestEmptyRequestOfServerStream(t *testing.T) {
	c, _ := newTestPair(t, &ServiceDesc{Streams: map[string]Stream{"S": {StreamingServer: true,
		Handler: func(_ context.Context, ss StreamServer) (any, error) {
			if err := ss.RecvMsg(&emptypb.Empty{}); err != nil {
				return nil, err
			}
			if err := ss.RecvMsg(&emptypb.Empty{}); err != io.EOF {
				return nil, errors.New("there was a second message")
			}
			return nil, ss.SendMsg(&emptypb.Empty{})
		}}}})
	addr := c.conn.ch.conn.RemoteAddr().String()
	cs, err := c.NewStream(testContext(t), &StreamDesc{StreamingServer: true}, testService, "S", &emptypb.Empty{})
	if err != nil {
		t.Fatal(err)
	}
	if err := cs.RecvMsg(&emptypb.Empty{}); err != nil {
		t.Errorf("got %v", err)
	}
	if err := cs.RecvMsg(&emptypb.Empty{}); err != io.EOF {
		t.Errorf("the end: %v", err)
	}
	w := dialWire(t, addr)
	w.write(header{id: 1, typ: messageTypeRequest, flags: flagRemoteClosed}, mustMarshal(&Request{Service: testService, Method: "S"}))
	if f := w.read(); f.typ != messageTypeData || f.flags.has(flagNoData) {
		t.Errorf("got %v, want a message", f.header)
	}
}
