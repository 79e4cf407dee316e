package ttrpc

import (
	"context"
	"testing"
)

// panics reports whether f panics.
func panics(f func()) (yes bool) {
	defer func() { yes = recover() != nil }()
	f()
	return false
}

// Mistakes of the program panic at once.
func TestMistakesPanic(t *testing.T) {
	unary := func(context.Context, func(any) error) (any, error) { return nil, nil }
	stream := func(context.Context, StreamServer) (any, error) { return nil, nil }
	for name, f := range map[string]func(){
		"nil ResponseMetadata": func() { WithResponseMetadata(context.Background(), nil) },
		"method and stream": func() {
			registry{}.with("s", &ServiceDesc{
				Methods: map[string]Method{"x": unary},
				Streams: map[string]Stream{"x": {Handler: stream}},
			})
		},
	} {
		if !panics(f) {
			t.Errorf("%s: no panic", name)
		}
	}
}
