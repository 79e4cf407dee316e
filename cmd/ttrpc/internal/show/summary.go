package show

import (
	"encoding/json"
	"fmt"
	"io"
	"sort"
	"text/tabwriter"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/containerd/ttrpc/cmd/ttrpc/internal/proxy"
	"github.com/containerd/ttrpc/cmd/ttrpc/internal/watch"
	"google.golang.org/grpc/codes"
)

const (
	// maxMethods limits the methods of a summary; further ones count as one.
	maxMethods = 1000

	otherMethods = "(others)"
)

// A Summary counts the calls of each method.
type Summary struct {
	filter  *Filter
	methods map[string]*method
	order   []string

	Violations int
	Lost       int // gaps
}

type method struct {
	count, errors, cancelled int
	latency                  *hdrhistogram.Histogram // in microseconds
	bytes                    [2]int
}

// NewSummary returns an empty summary of the calls that filter leaves.
func NewSummary(filter *Filter) *Summary {
	return &Summary{filter: filter, methods: map[string]*method{}}
}

// Event counts a call that ends.
func (s *Summary) Event(e *watch.Event) {
	s.Violations += len(e.Violations)
	if e.Kind == watch.KindGap {
		s.Lost++
	}
	if !e.Ends || e.Call == nil || !s.filter.Call(e.Call) {
		return
	}
	m := s.method(e.Call.Name())
	m.count++
	switch {
	case e.Call.Cancelled:
		m.cancelled++
	case e.Call.Code != codes.OK:
		m.errors++
	}
	m.latency.RecordValue(min(max(e.Call.Duration().Microseconds(), 1), maxLatency.Microseconds()))
	m.bytes[proxy.ToServer] += e.Call.Bytes[proxy.ToServer]
	m.bytes[proxy.ToClient] += e.Call.Bytes[proxy.ToClient]
}

const maxLatency = 24 * time.Hour

func (s *Summary) method(name string) *method {
	if s.methods[name] == nil && len(s.methods) >= maxMethods {
		name = otherMethods
	}
	m := s.methods[name]
	if m == nil {
		m = &method{latency: hdrhistogram.New(1, maxLatency.Microseconds(), 2)}
		s.methods[name] = m
		s.order = append(s.order, name)
	}
	return m
}

// row is a method as JSON; times are microseconds.
type row struct {
	Method    string `json:"method"`
	Count     int    `json:"count"`
	Errors    int    `json:"errors"`
	Cancelled int    `json:"cancelled"`
	P50       int64  `json:"p50_us"`
	P99       int64  `json:"p99_us"`
	Max       int64  `json:"max_us"`
	ToServer  int    `json:"bytes_to_server"`
	ToClient  int    `json:"bytes_to_client"`
}

func (s *Summary) rows() []row {
	rows := []row{}
	for _, name := range s.order {
		m := s.methods[name]
		rows = append(rows, row{
			Method: name, Count: m.count, Errors: m.errors, Cancelled: m.cancelled,
			P50: m.latency.ValueAtQuantile(50), P99: m.latency.ValueAtQuantile(99), Max: m.latency.Max(),
			ToServer: m.bytes[proxy.ToServer], ToClient: m.bytes[proxy.ToClient],
		})
	}
	sort.SliceStable(rows, func(i, j int) bool { return rows[i].Count > rows[j].Count })
	return rows
}

// WriteText writes a table.
func (s *Summary) WriteText(w io.Writer, open []*watch.Call) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(tw, "calls\terrors\tcancelled\tp50\tp99\tmax\tto server\tto client\t  method")
	for _, r := range s.rows() {
		us := func(n int64) string { return duration(time.Duration(n) * time.Microsecond) }
		fmt.Fprintf(tw, "%d\t%d\t%d\t%s\t%s\t%s\t%s\t%s\t  %s\n", r.Count, r.Errors, r.Cancelled,
			us(r.P50), us(r.P99), us(r.Max), size(r.ToServer), size(r.ToClient), clean(r.Method))
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	for _, c := range open {
		if s.filter.Call(c) {
			fmt.Fprintf(w, "no final frame: #%d stream %d %s, begun at %s\n", c.Conn, c.Stream, clean(c.Name()), c.Begin.Format("15:04:05.000"))
		}
	}
	if s.Violations > 0 {
		fmt.Fprintf(w, "violations of the protocol: %d\n", s.Violations)
	}
	if s.Lost > 0 {
		fmt.Fprintf(w, "the output was too slow %d times: the numbers are too low\n", s.Lost)
	}
	return nil
}

// WriteJSON writes one object in one line, of the kind "summary".
func (s *Summary) WriteJSON(w io.Writer, open []*watch.Call) error {
	return json.NewEncoder(w).Encode(map[string]any{
		"kind": "summary", "methods": s.rows(), "violations": s.Violations, "gaps": s.Lost, "open": len(open),
	})
}
