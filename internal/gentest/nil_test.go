package gentest

import (
	"fmt"
	"testing"

	"github.com/containerd/ttrpc"
	gogobasic "github.com/containerd/ttrpc/internal/gentest/testdata/gogo/basic"
	pbgobasic "github.com/containerd/ttrpc/internal/gentest/testdata/pbgo/basic"
)

// A nil implementation is told at its registration, not at the first call.
func TestNilImplementation(t *testing.T) {
	for name, register := range map[string]func(*ttrpc.Server){
		"gogo": func(s *ttrpc.Server) { gogobasic.RegisterNotesService(s, nil) },
		"pbgo": func(s *ttrpc.Server) { pbgobasic.RegisterNotesService(s, nil) },
	} {
		t.Run(name, func(t *testing.T) {
			s, err := ttrpc.NewServer()
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				const want = "ttrpc: nil implementation of service ttrpc.gentest.basic.Notes registered"
				if got := fmt.Sprint(recover()); got != want {
					t.Errorf("panics with %q, want %q", got, want)
				}
			}()
			register(s)
		})
	}
}
