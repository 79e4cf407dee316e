//go:build unix && go1.25

package ttrpc

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Decoding and the end of the connection happen at the same time. A decode gets the whole
// request or an error that says which end came first, and the buffer is released once.
func TestRaceDecodeConnectionEnd(t *testing.T) {
	const decoders = 3
	value := strings.Repeat("v", 3000)
	settle(t)
	keepLedger(t, func() {
		for i := 0; i < rounds(200); i++ {
			leave := i%2 == 0 // the handler does not wait for its decoders
			results := make(chan error, decoders)
			begun := make(chan struct{})
			desc := echoMethods()
			desc.Methods["Decode"] = func(_ context.Context, unmarshal func(any) error) (any, error) {
				close(begun)
				var wg sync.WaitGroup
				for j := 0; j < decoders; j++ {
					wg.Add(1)
					go func() {
						defer wg.Done()
						var req KeyValue
						err := unmarshal(&req)
						if err == nil && req.Value != value {
							err = errors.New("this is not the request")
						}
						results <- err
					}()
				}
				if !leave {
					wg.Wait()
				}
				return nil, errors.New("nobody hears this")
			}
			sc, theirs := servedPair(t, desc)
			newWire(theirs).request(1, "Decode", 0, &KeyValue{Value: value})
			within(t, "the handler", begun)
			theirs.Close()
			for j := 0; j < decoders; j++ {
				err := within(t, "a decoder", results)
				if late := status.Code(err) == codes.Internal && leave; err != nil && err != ErrClosed && !late {
					t.Errorf("got %v", err)
				}
			}
			within(t, "the end", sc.conn.done)
			waitFor(t, "the end of the call", func() bool { return sc.running.Load() == 0 })
			sc.server.Close()
		}
		settle(t)
	})
}
