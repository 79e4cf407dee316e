package main

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/ttrpc/bench/workload"
)

func TestSelectByName(t *testing.T) {
	names := []string{"unary-1", "unary-2", "stream-1"}
	self := func(s string) string { return s }
	for _, tt := range []struct {
		patterns string
		want     []string
	}{
		{"", names},
		{"unary-2", []string{"unary-2"}},
		{"stream-1,unary-1", []string{"unary-1", "stream-1"}},
		{"*-1,unary-1", []string{"unary-1", "stream-1"}},
	} {
		got, err := selectByName(names, self, tt.patterns)
		if err != nil || !slices.Equal(got, tt.want) {
			t.Errorf("selectByName(%q) = %v, %v; want %v", tt.patterns, got, err, tt.want)
		}
	}
	if got, err := selectByName(names, self, "unary-1,other"); err == nil || !strings.Contains(err.Error(), `"other"`) {
		t.Errorf("a pattern without a match: got %v, %v; want an error that names it", got, err)
	}
}

func TestSelectPeers(t *testing.T) {
	peers, err := selectPeers("ours@HEAD~1,d*,ours")
	var got []string
	for _, p := range peers {
		got = append(got, p.name)
	}
	if want := []string{"ours", "drpc", "ours@HEAD~1"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("got %v, %v; want %v", got, err, want)
	}
}

// A goal or a chart with a case that does not exist would silently say nothing.
func TestGoalsAndChartsNameCases(t *testing.T) {
	known := make(map[string]bool)
	for _, c := range allCases() {
		if known[c.name] {
			t.Errorf("two cases %s", c.name)
		}
		known[c.name] = true
	}
	for _, g := range goals() {
		if !known[g.name] {
			t.Errorf("goal for %s, which is no case", g.name)
		}
		if g.against != "" && !slices.Contains(allPeers(), g.against) {
			t.Errorf("goal against %s, which is no peer", g.against)
		}
	}
	for _, c := range append(callersCases, sizeCases...) {
		if !known[c.name] {
			t.Errorf("chart of %s, which is no case", c.name)
		}
	}
}

// A case on another connection is the same load, and a run without names has
// the usual ones only.
func TestCasesOnOtherConnections(t *testing.T) {
	byName := func(patterns string) map[string]benchCase {
		cases, err := selectCases(patterns)
		if err != nil {
			t.Fatal(err)
		}
		m := make(map[string]benchCase)
		for _, c := range cases {
			m[c.name] = c
		}
		return m
	}
	all := byName("*")
	for _, plain := range unixCases() {
		for _, kind := range otherConnections() {
			name := string(kind) + "-" + plain.name
			c, ok := all[name]
			if plain.section == secProgram {
				if ok {
					t.Errorf("%s has no connections", name)
				}
				continue
			}
			want := plain.load
			want.Options.Connection = kind
			if c.load != want || c.onUnix() {
				t.Errorf("%s is %+v, want %+v", name, c.load, want)
			}
		}
	}
	usual := byName("")
	for name, want := range map[string]bool{
		"idle-10000": true, "size": true, "wrapped-bidi-128": true, "tls-unary-128-c1": true,
		"tls-bidi-128": false, "wrapped-busy-burn": false, "wrapped-size": false,
	} {
		if _, got := usual[name]; got != want {
			t.Errorf("a run of no names has %s: %v, want %v", name, got, want)
		}
	}
	if got := byName("unary-128-*"); len(got) == 0 || !got["unary-128-c1"].onUnix() || len(got) != 6 {
		t.Errorf("unary-128-* selects %d cases, want the 6 on unix sockets", len(got))
	}
}

// Each row of real traffic has its own figures, and a goal for one of them.
func TestRealCasesHaveFiguresAndGoals(t *testing.T) {
	wanted := make(map[string]bool)
	for _, g := range goals() {
		if g.metric.name != p99.name {
			wanted[g.name] = true
		}
	}
	for _, c := range realCases() {
		if c.extra {
			continue // these are compared with each other, since no release can do the second
		}
		if len(c.figures) == 0 || !wanted[c.name] {
			t.Errorf("%s has %d figures, a goal: %v; want both", c.name, len(c.figures), wanted[c.name])
		}
	}
}

func results(times ...float64) []workload.Result {
	var all []workload.Result
	for _, v := range times {
		all = append(all, workload.Result{Time: v, P99: v})
	}
	return all
}

func TestMedianAndRatio(t *testing.T) {
	// The second round met a busy machine, which does not change the ratio.
	base := &outcome{Results: results(100, 400, 104)}
	mine := &outcome{Results: results(50, 200, 52)}
	if got, ok := mine.median(timePerCall); !ok || got != 52 {
		t.Errorf("median %v, %v; want 52", got, ok)
	}
	if got, ok := mine.ratio(base, timePerCall); !ok || got != 0.5 {
		t.Errorf("ratio %v, %v; want 0.5", got, ok)
	}
	if got, ok := (&outcome{Results: results(1, 2)}).median(timePerCall); !ok || got != 1.5 {
		t.Errorf("median of two %v, %v; want 1.5", got, ok)
	}
	var none *outcome
	if _, ok := none.ratio(base, timePerCall); ok {
		t.Error("a peer without results has a ratio")
	}
}

func TestOutcomeAdd(t *testing.T) {
	for _, tt := range []struct {
		res  workload.Result
		err  error
		want failureKind
	}{
		{workload.Result{Time: 1}, nil, ""},
		{workload.Result{}, errTimeLimit, hangs},
		{workload.Result{}, errors.New("oops"), fails},
		{workload.Result{Unsupported: "no streams"}, nil, unable},
	} {
		var o outcome
		o.add(tt.res, tt.err)
		if o.Failure.Kind != tt.want || (len(o.Results) == 1) != (tt.want == "") {
			t.Errorf("add(%v, %v): %+v", tt.res, tt.err, o)
		}
	}
}

// testReport has two peers: ours twice as fast, except where it hangs.
func testReport() *report {
	r := &report{Base: defaultBase, Rounds: 1, Peers: []string{ours, defaultBase}, Cases: []string{"unary-128-c1", "unary-128-c8", "unary-128-c64"}}
	r.Outcomes = make(map[string]map[string]*outcome)
	for i, c := range r.Cases {
		*r.outcome(c, ours) = outcome{Results: results(50e3 / float64(i+1))}
		*r.outcome(c, defaultBase) = outcome{Results: results(100e3 / float64(i+1))}
	}
	*r.outcome("unary-128-c64", ours) = outcome{Failure: failure{hangs, "10 s"}}
	return r
}

func TestTables(t *testing.T) {
	var b bytes.Buffer
	r := testReport()
	r.writeTables(&b)
	for _, want := range []string{
		"| 1 caller, 128 B | 50.0 µs (0.50×) | 100 µs |\n",
		"| 64 callers, 128 B | **hangs** | 33.3 µs |\n",
		"- ours hangs (10 s): unary-128-c64\n",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
}

func TestGoalsVerdict(t *testing.T) {
	var b bytes.Buffer
	r := testReport()
	*r.outcome("unary-128-c1", "raw") = *r.outcome("unary-128-c1", ours)
	r.writeGoals(&b)
	for _, want := range []string{
		"| unary-128-c1 | time | ≤ 1.05× raw | 1.00× | met |\n",
		"| unary-128-c8 | time | ≤ 0.45× ttrpc-v1.2.10 | 0.50× | **not met** |\n",
		"| unary-128-c64 | time |  | hangs (10 s) | **not met** |\n",
		"| unary-128-c8 | time | not above unary-128-c1 | 0.50× | met |\n",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
}

func TestChartIsXML(t *testing.T) {
	charts := testReport().charts()
	if len(charts) != 1 || charts[0].file != "callers.svg" {
		t.Fatalf("charts %v, want the one over callers", charts)
	}
	svg := charts[0].svg()
	for d := xml.NewDecoder(bytes.NewReader(svg)); ; {
		_, err := d.Token()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatalf("%v in\n%s", err, svg)
		}
	}
	if !bytes.Contains(svg, []byte(">8</text>")) || !bytes.Contains(svg, []byte(">ttrpc-v1.2.10</text>")) {
		t.Errorf("a tick or a name is missing in\n%s", svg)
	}
}

func TestYSteps(t *testing.T) {
	for hi := 1.0; hi < 1e9; hi *= 1.37 {
		c := chart{series: []series{{points: []xy{{0, hi}}}}}
		if n := math.Ceil(hi / c.yStep(hi)); n < 4 || n > 10 {
			t.Errorf("%v steps to %v", n, hi)
		}
	}
}

func TestPerIdle(t *testing.T) {
	res := workload.Result{Idle: []workload.IdlePoint{
		{Conns: 1, ServerRSS: 10_000, ServerGoroutines: 3}, {Conns: 50}, {Conns: 101, ServerRSS: 510_000, ServerGoroutines: 203},
	}}
	if got := serverIdle.of(res); got != 5000 {
		t.Errorf("RSS per connection %v, want 5000", got)
	}
	if got := serverGoroutines.of(res); got != 2 {
		t.Errorf("goroutines per connection %v, want 2", got)
	}
}
