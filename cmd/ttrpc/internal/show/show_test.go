package show

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/cmd/ttrpc/internal/proxy"
	"github.com/containerd/ttrpc/cmd/ttrpc/internal/watch"
	"github.com/containerd/ttrpc/internal/frame"
	"google.golang.org/protobuf/proto"
)

// everything is all writers behind one Watcher.
type everything struct {
	watch.Watcher
	text, jsonl, timeline bytes.Buffer
	writers               []Writer
	summary               *Summary
	now                   time.Time
}

type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }

func newEverything(t testing.TB, filter *Filter) *everything {
	ev := &everything{summary: NewSummary(filter), now: time.Now()}
	ev.writers = []Writer{NewText(&ev.text, false), NewJSONLines(&ev.jsonl), NewTimeline(nopCloser{&ev.timeline})}
	ev.Emit = func(e *watch.Event) {
		ev.summary.Event(e)
		if !filter.Shows(e) {
			return
		}
		for _, w := range ev.writers {
			if err := w.Event(e); err != nil {
				t.Errorf("%T: %v", w, err)
			}
		}
	}
	return ev
}

func (ev *everything) item(kind proxy.Kind, dir proxy.Direction, b []byte) {
	ev.now = ev.now.Add(time.Millisecond)
	ev.Take(&proxy.Item{Conn: 1, Dir: dir, Kind: kind, Time: ev.now, Bytes: b})
}

func (ev *everything) close(t testing.TB) {
	for _, w := range ev.writers {
		if err := w.Close(); err != nil {
			t.Errorf("%T: %v", w, err)
		}
	}
}

func encode(id uint32, typ frame.Type, flags uint8, body []byte) []byte {
	b := make([]byte, frame.HeaderLength, frame.HeaderLength+len(body))
	frame.Header{Length: uint32(len(body)), ID: id, Type: typ, Flags: flags}.Put(b)
	return append(b, body...)
}

func request(id uint32, service string) []byte {
	b, err := proto.Marshal(&ttrpc.Request{Service: service, Method: "Do", Metadata: []*ttrpc.KeyValue{{Key: "key", Value: strings.Repeat("v", 100)}}})
	if err != nil {
		panic(err)
	}
	return encode(id, frame.TypeRequest, 0, b)
}

// checkTimeline reads a timeline as ui.perfetto.dev does: an array of events, where each
// "e" ends a "b" with its category and id, and instants of slices are within them.
func checkTimeline(t testing.TB, b []byte) (slices, instants int) {
	t.Helper()
	var events []struct {
		Name  *string        `json:"name"`
		Cat   string         `json:"cat"`
		Phase string         `json:"ph"`
		TS    *float64       `json:"ts"`
		PID   *int           `json:"pid"`
		TID   *int           `json:"tid"`
		ID    string         `json:"id"`
		Scope string         `json:"s"`
		Args  map[string]any `json:"args"`
	}
	if err := json.Unmarshal(b, &events); err != nil {
		t.Fatalf("the timeline: %v", err)
	}
	open := map[string]float64{}
	for i, e := range events {
		if e.Name == nil || e.TS == nil || e.PID == nil || e.TID == nil || *e.TS < 0 {
			t.Fatalf("event %d lacks a field: %+v", i, e)
		}
		key := fmt.Sprint(*e.PID, e.Cat, e.ID)
		begin, isOpen := open[key]
		switch e.Phase {
		case "M":
			if *e.Name != "process_name" || e.Args["name"] == "" {
				t.Errorf("event %d: %+v", i, e)
			}
		case "i":
			instants++
			if e.Scope != "p" {
				t.Errorf("event %d has the scope %q", i, e.Scope)
			}
		case "b":
			if e.Cat == "" || e.ID == "" || isOpen {
				t.Errorf("event %d: a slice begins twice, or has no id: %+v", i, e)
			}
			open[key] = *e.TS
		case "n", "e":
			if !isOpen || begin > *e.TS {
				t.Errorf("event %d is outside of its slice: %+v", i, e)
			}
			if e.Phase == "e" {
				delete(open, key)
				slices++
			}
		default:
			t.Errorf("event %d has the phase %q", i, e.Phase)
		}
	}
	return slices, instants
}

// checkLines reads JSON Lines.
func checkLines(t testing.TB, b []byte) (lines []map[string]any) {
	t.Helper()
	dec := json.NewDecoder(bytes.NewReader(b))
	for {
		var l map[string]any
		if err := dec.Decode(&l); err == io.EOF {
			return lines
		} else if err != nil {
			t.Fatalf("line %d: %v", len(lines)+1, err)
		}
		lines = append(lines, l)
	}
}

// checkText fails for characters that a terminal obeys.
func checkText(t testing.TB, b []byte) {
	t.Helper()
	lines := bufio.NewScanner(bytes.NewReader(b))
	lines.Buffer(nil, 1<<26)
	for lines.Scan() {
		for _, r := range lines.Text() {
			if !unicode.IsPrint(r) && r != '\uFFFD' {
				t.Fatalf("a line has the character %q: %.200q", r, lines.Text())
			}
		}
	}
}

func play(ev *everything) {
	ev.item(proxy.Opened, 0, nil)
	ev.item(proxy.Bytes, proxy.ToServer, request(1, "a.Service"))
	ev.item(proxy.Bytes, proxy.ToServer, request(3, "b.Service"))
	ev.item(proxy.Bytes, proxy.ToClient, encode(3, frame.TypeResponse, 0, []byte("\x0a\x00")))
	ev.now = ev.now.Add(time.Second)
	ev.item(proxy.Bytes, proxy.ToClient, encode(1, frame.TypeResponse, 0, []byte("\x0a\x10\x08\x05\x12\x0cnot \x1b[31mred")))
	ev.item(proxy.Bytes, proxy.ToServer, encode(2, frame.TypeData, 0, nil))
	ev.item(proxy.Bytes, proxy.ToServer, request(5, "a.Service"))
	ev.item(proxy.Ended, proxy.ToServer, nil)
	ev.item(proxy.Closed, 0, nil)
}

func TestWriters(t *testing.T) {
	ev := newEverything(t, &Filter{})
	play(ev)
	ev.close(t)
	checkText(t, ev.text.Bytes())
	for _, want := range []string{
		" #1 connected\n", " #1 -> request 1 a.Service/Do 124 B key=" + strings.Repeat("v", 40) + "...\n",
		` #1 <- response 1 a.Service/Do 18 B NotFound "not \x1b[31mred" 1.003s`, "VIOLATION: a client's stream id must be odd",
		"5 a.Service/Do the connection ended before the final frame",
	} {
		if !strings.Contains(ev.text.String(), want) {
			t.Errorf("the lines lack %q:\n%s", want, ev.text.String())
		}
	}
	if lines := checkLines(t, ev.jsonl.Bytes()); len(lines) != 10 || lines[4]["duration_ns"] != 1.003e9 || lines[4]["dir"] != "to client" {
		t.Errorf("JSON Lines:\n%s", ev.jsonl.String())
	}
	if slices, instants := checkTimeline(t, ev.timeline.Bytes()); slices != 3 || instants != 3 {
		t.Errorf("%d slices, %d instants:\n%s", slices, instants, ev.timeline.String())
	}
	var sum bytes.Buffer
	ev.summary.WriteText(&sum, nil)
	for _, want := range []string{"    2       2          0", "a.Service/Do\n", "violations of the protocol: 1\n"} {
		if !strings.Contains(sum.String(), want) {
			t.Errorf("the summary lacks %q:\n%s", want, sum.String())
		}
	}
}

// A timeline that lacks its end is whole but for the bracket.
func TestTimelineCrash(t *testing.T) {
	ev := newEverything(t, &Filter{})
	play(ev)
	ev.writers[2].(*Timeline).Flush()
	checkTimeline(t, append(ev.timeline.Bytes(), ']'))
}

func TestFilter(t *testing.T) {
	for _, test := range []struct {
		filter     Filter
		want, lack string
		slices     int
	}{
		{Filter{Services: []string{"b.*"}}, "response 3", "response 1", 1},
		{Filter{Services: []string{"x", "a.Service"}}, "response 1", "response 3", 2},
		{Filter{Slow: 500 * time.Millisecond}, "response 1", "request", 1},
	} {
		ev := newEverything(t, &test.filter)
		play(ev)
		ev.close(t)
		text := ev.text.String()
		if !strings.Contains(text, test.want) || strings.Contains(text, test.lack) || !strings.Contains(text, "VIOLATION") {
			t.Errorf("%+v:\n%s", test.filter, text)
		}
		if slices, _ := checkTimeline(t, ev.timeline.Bytes()); slices != test.slices {
			t.Errorf("%+v: %d slices:\n%s", test.filter, slices, ev.timeline.String())
		}
	}
	if (&Filter{Services: []string{"["}}).Check() == nil {
		t.Error("a pattern that is none passes")
	}
}

// With many methods the summary has a limit.
func TestManyMethods(t *testing.T) {
	s := NewSummary(&Filter{})
	for i := range maxMethods + 5 {
		s.Event(&watch.Event{Ends: true, Call: &watch.Call{Method: fmt.Sprint(i)}})
	}
	if rows := s.rows(); len(rows) != maxMethods+1 || rows[0].Method != otherMethods || rows[0].Count != 5 {
		t.Errorf("%d rows, the first is %+v", len(s.rows()), s.rows()[0])
	}
}

// Arbitrary bytes, cut anywhere, with gaps: nothing panics, and all output stays readable.
func FuzzWatch(f *testing.F) {
	whole := append(request(1, "a.Service"), encode(1, frame.TypeData, 7, []byte("x"))...)
	f.Add(whole, encode(1, frame.TypeResponse, 0, []byte("\x0a\x02\x08\x05")), uint8(3))
	f.Add(encode(0, frame.TypeSettings, 1, nil), encode(0, frame.TypeMetadata, 0, []byte("\x08\x01\x1a\x02\x0a\x00")), uint8(255))
	f.Add(append(whole, "\xff\xff"...), []byte("HTTP/1.1 400 Bad Request\r\n"), uint8(9))
	for typ := frame.TypeSettings; typ <= frame.TypeLastExtension; typ++ {
		f.Add(encode(0, typ, 0, make([]byte, 12)), encode(0, typ, 0, make([]byte, 7)), uint8(1))
	}
	f.Fuzz(func(t *testing.T, toServer, toClient []byte, cut uint8) {
		ev := newEverything(t, &Filter{})
		ev.Types = anyType{}
		ev.item(proxy.Opened, 0, nil)
		for n := 1 + int(cut); len(toServer)+len(toClient) > 0; n++ {
			a, b := min(n, len(toServer)), min(n, len(toClient))
			ev.item(proxy.Bytes, proxy.ToServer, toServer[:a])
			ev.item(proxy.Bytes, proxy.ToClient, toClient[:b])
			toServer, toClient = toServer[a:], toClient[b:]
			if n%16 == 7 {
				ev.item(proxy.Gap, proxy.Direction(n>>4&1), nil)
			}
		}
		ev.Running(ev.now.Add(time.Hour), time.Second)
		ev.item(proxy.Reset, proxy.ToServer, nil)
		ev.item(proxy.Closed, 0, nil)
		ev.close(t)
		checkText(t, ev.text.Bytes())
		checkLines(t, ev.jsonl.Bytes())
		checkTimeline(t, ev.timeline.Bytes())
		ev.summary.WriteText(io.Discard, ev.Open())
	})
}

// anyType takes each message for a string.
type anyType struct{}

func (anyType) JSON(_, _ string, _ proxy.Direction, payload []byte) []byte {
	b, _ := json.Marshal(string(payload))
	return b
}

// Names, metadata and messages of a peer cannot command the terminal.
func TestTerminal(t *testing.T) {
	ev := newEverything(t, &Filter{})
	ev.item(proxy.Bytes, proxy.ToServer, request(1, "a\x1b[31m\r\n\u202eService"))
	checkText(t, ev.text.Bytes())
	var sum bytes.Buffer
	ev.summary.WriteText(&sum, ev.Open())
	checkText(t, sum.Bytes())
}
