package ttrpc

import (
	"context"
	"io"
	"math/rand"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Calls and streams of every kind and end leave the tables of both sides, while the
// connection goes on (8 and 10; 8 of those open upstream). A round is a call.
func TestRaceTables(t *testing.T) {
	desc := echoMethods()
	desc.Streams["ReturnAtOnce"] = Stream{StreamingClient: true, StreamingServer: true, Handler: func(context.Context, StreamServer) (any, error) {
		return nil, nil
	}}
	desc.Streams["FailAtOnce"] = Stream{StreamingClient: true, StreamingServer: true, Handler: func(context.Context, StreamServer) (any, error) {
		return nil, status.Error(codes.DataLoss, "at once")
	}}
	s, addr := newTestServer(t, desc)
	c := dialTest(t, addr)
	both := &StreamDesc{StreamingClient: true, StreamingServer: true}
	const callers = 8
	together(times(callers, func(i int) {
		rnd := rand.New(rand.NewSource(int64(i)))
		for n := rounds(1000) / callers; n >= 0; n-- {
			ctx, cancel := context.WithCancel(context.Background())
			method := []string{"Echo", "Fail", "NoMethod", "ReturnAtOnce", "FailAtOnce", "NoStream", "EchoStream"}[rnd.Intn(7)]
			if !strings.HasSuffix(method, "AtOnce") && !strings.HasSuffix(method, "Stream") {
				if rnd.Intn(4) == 0 {
					go cancel()
				}
				c.Call(ctx, testService, method, &KeyValue{}, &KeyValue{})
				cancel()
				continue
			}
			cs, err := c.NewStream(ctx, both, testService, method, nil)
			if err != nil {
				t.Errorf("NewStream: %v", err)
				cancel()
				return
			}
			for i := rnd.Intn(3); i > 0; i-- {
				if err := cs.SendMsg(&KeyValue{Value: "x"}); err != nil && err != io.EOF {
					t.Errorf("%s: SendMsg: %v", method, err)
				}
			}
			if err := cs.CloseSend(); err != nil && err != io.EOF {
				t.Errorf("%s: CloseSend: %v", method, err)
			}
			if rnd.Intn(4) == 0 {
				go cancel() // the handler ends by itself
			}
			for err == nil {
				err = cs.RecvMsg(&KeyValue{})
			}
			cancel()
		}
	})...)
	waitFor(t, "an empty table of the client", func() bool { return tableSize(c.conn) == 0 })
	waitFor(t, "empty tables of the server", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, sc := range s.connsLocked() {
			if tableSize(sc.conn) != 0 {
				return false
			}
		}
		return true
	})
	if err := echo(testContext(t), c, "x"); err != nil {
		t.Errorf("the connection: %v", err)
	}
}
