package newest

import (
	"bytes"
	"context"
	"testing"
	"time"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/internal/gentest/exercise"
	"github.com/containerd/ttrpc/internal/gentest/newest/lazy"
	"google.golang.org/protobuf/proto"
)

// A field that is decoded late may be decoded by a goroutine that reads the message
// while another sends it, which is allowed, and becomes shorter by that if it came in
// an encoding that is longer than need be.
func TestLazyFieldIsReadWhileSent(t *testing.T) {
	const letters = 300
	// The text is there twice. The last counts.
	letter := []byte{0x0a, 6, 0x0a, 1, 'a', 0x0a, 1, 'b'}
	client := exercise.Connect(t, func(s *ttrpc.Server) {
		s.RegisterService("lazy", &ttrpc.ServiceDesc{Methods: map[string]ttrpc.Method{
			"Echo": func(_ context.Context, um func(any) error) (any, error) {
				m := &lazy.Envelope{}
				return m, um(m)
			},
		}})
	})
	start := time.Now()
	for i := 0; i < 1000 && time.Since(start) < time.Second; i++ { // with the race detector 10 are enough
		m, got := &lazy.Envelope{}, &lazy.Envelope{}
		if err := proto.Unmarshal(bytes.Repeat(append([]byte{0x0a, byte(len(letter))}, letter...), letters), m); err != nil {
			t.Fatal(err)
		}
		read := make(chan struct{})
		go func() {
			defer close(read)
			for _, l := range m.GetLetters() {
				if l.GetPage().GetText() != "b" {
					t.Error("the page was not decoded")
				}
			}
		}()
		err := client.Call(context.Background(), "lazy", "Echo", m, got)
		<-read
		if err != nil {
			t.Fatalf("call %d: %v", i, err)
		}
		if !proto.Equal(m, got) {
			t.Fatalf("call %d: another message came back", i)
		}
	}
}
