package show

import (
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"

	"github.com/containerd/ttrpc/cmd/ttrpc/internal/proxy"
	"github.com/containerd/ttrpc/cmd/ttrpc/internal/watch"
	"github.com/containerd/ttrpc/internal/frame"
	"github.com/fatih/color"
	"google.golang.org/grpc/codes"
)

const (
	maxValue   = 40   // bytes of a value of metadata that are shown
	maxPairs   = 16   // pairs of metadata that are shown
	maxMessage = 200  // bytes of an error's message
	maxJSON    = 2000 // bytes of a payload
)

// Text writes lines for people.
type Text struct {
	w io.Writer

	name, good, bad, warn, faint func(a ...any) string
}

// NewText returns a writer of lines, with colours or without.
func NewText(w io.Writer, colours bool) *Text {
	paint := func(attrs ...color.Attribute) func(a ...any) string {
		c := color.New(attrs...)
		if c.DisableColor(); colours {
			c.EnableColor()
		}
		return c.SprintFunc()
	}
	return &Text{
		w:    w,
		name: paint(color.Bold), good: paint(color.FgGreen), bad: paint(color.FgRed),
		warn: paint(color.FgYellow), faint: paint(color.Faint),
	}
}

// Close does nothing: each line has been written.
func (t *Text) Close() error { return nil }

// Event writes a line.
func (t *Text) Event(e *watch.Event) error {
	parts := []string{t.faint(e.Time.Format("15:04:05.000000"))}
	if e.Conn != 0 {
		parts = append(parts, fmt.Sprintf("#%d", e.Conn))
	}
	if e.Sided {
		parts = append(parts, arrow(e.Dir))
	}
	if e.Kind == watch.KindFrame {
		parts = append(parts, t.frame(e)...)
	} else {
		parts = append(parts, t.other(e))
	}
	for _, text := range e.Violations {
		parts = append(parts, t.bad("VIOLATION: "+clean(text)))
	}
	for _, text := range e.Notes {
		parts = append(parts, t.warn("note: "+clean(text)))
	}
	_, err := io.WriteString(t.w, strings.Join(parts, " ")+"\n")
	return err
}

func arrow(dir proxy.Direction) string {
	if dir == proxy.ToServer {
		return "->"
	}
	return "<-"
}

func (t *Text) other(e *watch.Event) string {
	text := clean(e.Text)
	if e.Kind == watch.KindOpen {
		text = "connected"
	}
	if e.Call != nil {
		text = fmt.Sprintf("%d %s %s", e.Call.Stream, t.name(clean(e.Call.Name())), text)
	}
	if e.Kind != watch.KindOpen && e.Kind != watch.KindEnd || e.Ends {
		return t.warn(text)
	}
	return text
}

func (t *Text) frame(e *watch.Event) []string {
	h := e.Header
	parts := []string{h.Type.String()}
	if h.ID != 0 {
		parts = append(parts, fmt.Sprint(h.ID))
	}
	if e.Call != nil {
		parts = append(parts, t.name(clean(e.Call.Name())))
	}
	parts = append(parts, size(int(h.Length)))
	if names := FlagNames(h); len(names) > 0 {
		parts = append(parts, strings.Join(names, "|"))
	}
	if e.Status != nil {
		parts = append(parts, t.status(e.Status))
	}
	if e.Ends && e.Call != nil {
		parts = append(parts, duration(e.Call.Duration()))
	}
	if e.Timeout != 0 {
		parts = append(parts, fmt.Sprintf("timeout=%v", e.Timeout))
	}
	parts = append(parts, t.metadata(e.Metadata)...)
	if e.Extension != "" {
		parts = append(parts, t.faint("["+clean(e.Extension)+"]"))
	}
	if len(e.Payload) > 0 {
		parts = append(parts, clean(short(string(e.Payload), maxJSON)))
	}
	return parts
}

func (t *Text) status(s *watch.Status) string {
	if s.Code == codes.OK {
		return t.good("OK")
	}
	text := s.Code.String()
	if s.Message != "" {
		text += fmt.Sprintf(" %q", short(s.Message, maxMessage))
	}
	if s.Details > 0 {
		text += fmt.Sprintf(" +%d details", s.Details)
	}
	return t.bad(text)
}

func (t *Text) metadata(pairs []frame.Pair) (parts []string) {
	for i, p := range pairs {
		if i == maxPairs {
			return append(parts, fmt.Sprintf("and %d pairs more", len(pairs)-i))
		}
		parts = append(parts, fmt.Sprintf("%s=%s", clean(short(p.Key, maxValue)), clean(short(p.Value, maxValue))))
	}
	return parts
}

// FlagNames returns the names of a frame's flags.
func FlagNames(h frame.Header) (names []string) {
	if h.IsExtension() && h.Type == frame.TypeSettings && h.Flags == frame.FlagAck {
		return []string{"ack"}
	}
	rest := h.Flags
	for i, name := range []string{"remote-closed", "remote-open", "no-data"} {
		if bit := uint8(1) << i; rest&bit != 0 {
			names = append(names, name)
			rest &^= bit
		}
	}
	if rest != 0 {
		names = append(names, fmt.Sprintf("%#x", rest))
	}
	return names
}

// clean replaces the characters of a peer that a terminal would obey.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '\uFFFD'
		}
		return r
	}, s)
}

func short(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "") + "..."
}

func size(n int) string {
	switch {
	case n < 10<<10:
		return fmt.Sprintf("%d B", n)
	case n < 10<<20:
		return fmt.Sprintf("%.1f KiB", float64(n)/(1<<10))
	}
	return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
}

// duration returns d with three digits or so.
func duration(d time.Duration) string {
	switch {
	case d < time.Millisecond:
		return d.Round(time.Microsecond).String()
	case d < 100*time.Millisecond:
		return d.Round(10 * time.Microsecond).String()
	}
	return d.Round(time.Millisecond).String()
}
