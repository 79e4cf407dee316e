package ttrpc

import (
	"context"
	"testing"
)

// panickingErr is a context whose methods panic.
type panickingErr struct{ context.Context }

func (panickingErr) Err() error { panic("no error") }

// A context that panics harms no goroutine of the connection.
func TestContextPanicsElsewhere(t *testing.T) {
	if err := contextError(panickingErr{context.Background()}); err != context.Canceled {
		t.Errorf("got %v", err)
	}
	if panics(func() { stopWatch(func() bool { panic("no stop") }) }) {
		t.Error("the panic of a watch's end is not handled")
	}
}
