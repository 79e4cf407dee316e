package show

import (
	"encoding/json"
	"io"
	"strings"
	"time"

	"github.com/containerd/ttrpc/cmd/ttrpc/internal/watch"
)

// JSONLines writes an object for each event.
type JSONLines struct{ enc *json.Encoder }

// NewJSONLines returns a writer of JSON Lines.
func NewJSONLines(w io.Writer) *JSONLines {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return &JSONLines{enc}
}

// Close does nothing: each line has been written.
func (j *JSONLines) Close() error { return nil }

// line is an event as JSON. Times are RFC 3339, durations nanoseconds.
type line struct {
	Time       time.Time       `json:"time"`
	Kind       watch.Kind      `json:"kind"`
	Conn       int             `json:"conn,omitempty"`
	Dir        string          `json:"dir,omitempty"` // "to server" or "to client"
	Text       string          `json:"text,omitempty"`
	Type       string          `json:"type,omitempty"`
	Stream     uint32          `json:"stream,omitempty"`
	Size       *uint32         `json:"size,omitempty"` // of the frame's payload
	Flags      []string        `json:"flags,omitempty"`
	Service    string          `json:"service,omitempty"`
	Method     string          `json:"method,omitempty"`
	Timeout    time.Duration   `json:"timeout_ns,omitempty"`
	Metadata   [][2]string     `json:"metadata,omitempty"`
	Extension  string          `json:"extension,omitempty"`
	Status     *jsonStatus     `json:"status,omitempty"`
	Duration   time.Duration   `json:"duration_ns,omitempty"`
	Payload    json.RawMessage `json:"payload,omitempty"`
	Violations []string        `json:"violations,omitempty"`
	Notes      []string        `json:"notes,omitempty"`
}

type jsonStatus struct {
	Code    string `json:"code"`
	Message string `json:"message,omitempty"`
	Details int    `json:"details,omitempty"`
}

// Event writes an object.
func (j *JSONLines) Event(e *watch.Event) error {
	l := line{
		Time: e.Time, Kind: e.Kind, Conn: e.Conn, Text: e.Text, Timeout: e.Timeout, Extension: e.Extension,
		Payload: json.RawMessage(e.Payload), Violations: e.Violations, Notes: e.Notes,
	}
	if e.Sided {
		l.Dir = e.Dir.String()
	}
	if e.Kind == watch.KindFrame {
		l.Type, l.Stream, l.Size, l.Flags = e.Header.Type.String(), e.Header.ID, &e.Header.Length, FlagNames(e.Header)
	}
	if e.Call != nil {
		l.Stream, l.Service, l.Method = e.Call.Stream, e.Call.Service, e.Call.Method
	}
	if e.Ends && e.Call != nil {
		l.Duration = e.Call.Duration()
	}
	if e.Status != nil {
		l.Status = &jsonStatus{e.Status.Code.String(), short(e.Status.Message, maxMessage), e.Status.Details}
	}
	for _, p := range e.Metadata {
		l.Metadata = append(l.Metadata, [2]string{short(p.Key, maxValue), short(strings.ToValidUTF8(p.Value, "\uFFFD"), maxValue)})
	}
	return j.enc.Encode(l)
}
