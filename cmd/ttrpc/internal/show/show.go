// Package show writes the events of package watch: as lines for people, as JSON Lines, as
// a timeline for ui.perfetto.dev, and as a summary of the calls.
package show

import (
	"path"
	"time"

	"github.com/containerd/ttrpc/cmd/ttrpc/internal/watch"
)

// A Writer writes events somewhere. Close writes the rest.
type Writer interface {
	Event(e *watch.Event) error
	Close() error
}

// A Filter says which events are shown.
type Filter struct {
	// Services are patterns of path.Match for the names of services. None is for all.
	Services []string

	// Slow leaves calls that took less, and the frames of all calls. 0 is for everything.
	Slow time.Duration
}

// Check returns an error for a pattern that is none.
func (f *Filter) Check() error {
	for _, pattern := range f.Services {
		if _, err := path.Match(pattern, ""); err != nil {
			return err
		}
	}
	return nil
}

// Call reports whether a call is of a service that is shown.
func (f *Filter) Call(c *watch.Call) bool {
	for _, pattern := range f.Services {
		if ok, _ := path.Match(pattern, c.Service); ok {
			return true
		}
	}
	return len(f.Services) == 0
}

// Shows reports whether an event is shown as a line. Those with violations always are.
func (f *Filter) Shows(e *watch.Event) bool {
	switch {
	case len(e.Violations) > 0, e.Ends && e.Call != nil && e.Call.Drawn:
		return true
	case e.Call != nil && !f.Call(e.Call):
		return false
	case e.Call == nil && e.Kind == watch.KindFrame && len(f.Services) > 0:
		return false
	case f.Slow == 0:
		return true
	case e.Kind == watch.KindRunning, e.Kind == watch.KindTrouble, e.Kind == watch.KindGap:
		return true
	}
	return e.Ends && e.Call != nil && e.Call.Duration() >= f.Slow
}
