package show

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/containerd/ttrpc/cmd/ttrpc/internal/proxy"
	"github.com/containerd/ttrpc/cmd/ttrpc/internal/watch"
)

// A Timeline is a file for ui.perfetto.dev: Chrome's trace events in JSON, in the form of
// an array, which may lack its end. Each connection is a process there, each call a slice
// of its own, and other frames are instants. Each event is in one line.
type Timeline struct {
	w     *bufio.Writer
	c     io.Closer
	begin time.Time // the zero of the time axis
	any   bool
}

// NewTimeline returns a writer of a timeline that begins now. Close closes c as well.
func NewTimeline(c io.WriteCloser) *Timeline {
	return &Timeline{w: bufio.NewWriterSize(c, 64<<10), c: c, begin: time.Now()}
}

// traceEvent is an event of the format. Times are in microseconds.
type traceEvent struct {
	Name  string         `json:"name"`
	Cat   string         `json:"cat,omitempty"`
	Phase string         `json:"ph"`
	TS    float64        `json:"ts"`
	PID   int            `json:"pid"`
	TID   int            `json:"tid"`
	ID    string         `json:"id,omitempty"`
	Scope string         `json:"s,omitempty"`
	Args  map[string]any `json:"args,omitempty"`
}

// Event writes the events of a frame: the beginning or the end of a slice, or an instant.
func (t *Timeline) Event(e *watch.Event) error {
	switch {
	case e.Kind == watch.KindOpen:
		return t.write(e.Time, e.Conn, traceEvent{Name: "process_name", Phase: "M", Args: map[string]any{"name": fmt.Sprintf("connection %d", e.Conn)}})
	case e.Call == nil, !e.Begins && !e.Ends && !e.Call.Drawn:
		return t.instant(e)
	case e.Begins:
		return t.begins(e)
	case e.Ends:
		if !e.Call.Drawn { // the filter has left out the beginning
			if err := t.begins(&watch.Event{Time: e.Call.Begin, Conn: e.Conn, Call: e.Call}); err != nil {
				return err
			}
		}
		return t.call(e, "e", map[string]any{
			"code": e.Call.Code.String(), "to server, bytes": e.Call.Bytes[proxy.ToServer], "to client, bytes": e.Call.Bytes[proxy.ToClient],
		})
	case e.Kind == watch.KindFrame:
		return t.call(e, "n", map[string]any{"frame": e.Header.Type.String(), "direction": e.Dir.String()})
	}
	return nil
}

func (t *Timeline) begins(e *watch.Event) error {
	e.Call.Drawn = true
	return t.call(e, "b", map[string]any{"stream": e.Call.Stream, "timeout": e.Call.Deadline.String()})
}

// call writes an event of the slice of e's call.
func (t *Timeline) call(e *watch.Event, phase string, args map[string]any) error {
	t.remarks(e, args)
	return t.write(e.Time, e.Conn, traceEvent{
		Name: e.Call.Name(), Cat: "call", Phase: phase, TID: 1, ID: fmt.Sprintf("%#x", e.Call.Number), Args: args,
	})
}

func (t *Timeline) instant(e *watch.Event) error {
	name := e.Text
	if e.Kind == watch.KindFrame {
		name = e.Header.Type.String()
	}
	args := map[string]any{"direction": e.Dir.String()}
	t.remarks(e, args)
	return t.write(e.Time, e.Conn, traceEvent{Name: clean(name), Cat: string(e.Kind), Phase: "i", TID: 1, Scope: "p", Args: args})
}

func (t *Timeline) remarks(e *watch.Event, args map[string]any) {
	if len(e.Violations) > 0 {
		args["violation"] = strings.Join(e.Violations, "; ")
	}
	if e.Extension != "" {
		args["extension"] = e.Extension
	}
	if e.Status != nil && e.Status.Message != "" {
		args["message"] = short(e.Status.Message, maxMessage)
	}
}

func (t *Timeline) write(at time.Time, conn int, ev traceEvent) error {
	ev.TS, ev.PID = max(0, float64(at.Sub(t.begin).Nanoseconds())/1000), conn
	b, err := json.Marshal(ev)
	if err != nil {
		return err
	}
	before := ",\n"
	if !t.any {
		before, t.any = "[\n", true
	}
	t.w.WriteString(before)
	_, err = t.w.Write(b)
	return err
}

// Flush writes to the file, so that it is complete so far even if the process is killed.
func (t *Timeline) Flush() error { return t.w.Flush() }

// Close ends the array.
func (t *Timeline) Close() error {
	if !t.any {
		t.w.WriteString("[")
	}
	t.w.WriteString("\n]\n")
	if err := t.w.Flush(); err != nil {
		t.c.Close()
		return err
	}
	return t.c.Close()
}
