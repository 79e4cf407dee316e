package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestParsePairings(t *testing.T) {
	got, err := parsePairings(" ours+debian,stock+stock ")
	if want := []pairing{{ours, debian}, {stock, stock}}; err != nil || !slices.Equal(got, want) {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
	if got, err := parsePairings(defaultPairings); err != nil || len(got) != 12 {
		t.Errorf("the default: got %v, %v, want twelve", got, err)
	}
	for _, bad := range []string{"", "ours", "ours+theirs", "theirs+ours", "ours+ours+ours"} {
		if got, err := parsePairings(bad); err == nil {
			t.Errorf("%q: got %v, want an error", bad, got)
		}
	}
}

func TestParseOptionsRefuses(t *testing.T) {
	for _, args := range [][]string{
		{"-repeat", "0"}, {"-execs", "0"}, {"-rounds", "0"}, {"-run", "("}, {"-pairings", "x"}, {"extra"},
	} {
		if _, err := parseOptions(args); err == nil {
			t.Errorf("%q: want an error", args)
		}
	}
}

// The two builds of a release may differ in the replace line only, else like is not
// compared with like.
func TestModfilesDifferInReplaceOnly(t *testing.T) {
	for _, r := range releases {
		read := func(name string) string {
			data, err := os.ReadFile(filepath.Join(r.dir, name))
			if err != nil {
				t.Fatal(err)
			}
			return string(data)
		}
		without, ok := strings.CutPrefix(read("go.mod"), read("stock.mod"))
		line := strings.Fields(without)
		if !ok || len(line) != 5 || line[0] != "replace" || line[1] != ttrpcModule || line[4] != "../../" {
			t.Errorf("%s: go.mod is not stock.mod and the replace line: run pin.sh", r.dir)
		}
	}
}

func TestSnapshotSince(t *testing.T) {
	before := snapshot{"mount": {"/ ext4"}, "process": {"1 runc ()"}}
	after := snapshot{"mount": {"/ ext4", "/x tmpfs"}, "process": nil, "cgroup": {"/sys/fs/cgroup/a"}}
	got := after.since(before)
	if want := []string{"cgroup /sys/fs/cgroup/a", "mount /x tmpfs"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := before.since(before); len(got) > 0 {
		t.Errorf("against itself: got %q", got)
	}
}

func TestProcessIsContainerd(t *testing.T) {
	for name, want := range map[string]bool{
		"containerd": true, "containerd-shim": true, "ctr": true, "runc": true, "runc:[2:INIT]": true,
		"sh": false, "runcible": false,
	} {
		if got := (process{name: name}).isContainerd(); got != want {
			t.Errorf("%s: got %t, want %t", name, got, want)
		}
	}
}

func TestMemoryUsage(t *testing.T) {
	for _, text := range []string{`{"memory": {"usage": 4096}}`, `{"memory": {"usage": {"limit": 1, "usage": 4096}}}`} {
		var m metrics
		if err := json.Unmarshal([]byte(text), &m); err != nil || m.Memory.Usage != 4096 {
			t.Errorf("%s: got %d, %v", text, m.Memory.Usage, err)
		}
	}
	var m metrics
	if err := json.Unmarshal([]byte(`{"memory": {"usage": "much"}}`), &m); err == nil {
		t.Error("usage of no number: want an error")
	}
}

func TestCtrResult(t *testing.T) {
	failed := ctrResult{code: 1, stderr: "time=now level=error\nctr: process nosuch: not found\n"}
	if err := failed.wantError("process nosuch: not found"); err != nil {
		t.Error(err)
	}
	if err := failed.wantError("process nosuch: unknown"); err == nil {
		t.Error("another status code: want an error")
	}
	unnamed := ctrResult{code: 1, stderr: "ctr: paused\n"}
	if err := unnamed.wantError("paused: unknown"); err == nil {
		t.Error("no status code: want an error")
	}
	unnamed.omitsUnknown = releaseOf("stock-2.4").omitsUnknown
	if err := unnamed.wantError("paused: unknown"); err != nil {
		t.Error(err)
	}
	if err := (ctrResult{code: 0, stderr: failed.stderr}).wantError("process nosuch: not found"); err == nil {
		t.Error("an error with exit code 0: want an error")
	}
	if err := failed.want(0); err == nil {
		t.Error("exit code 1: want an error")
	}
	if err := (ctrResult{code: -1, err: errHung}).want(-1); !errors.Is(err, errHung) {
		t.Errorf("hung: got %v", err)
	}
	ok := ctrResult{stdout: "a\n"}
	if err := ok.wantOutput(0, "a\n", ""); err != nil {
		t.Error(err)
	}
	if err := ok.wantOutput(0, "b\n", ""); err == nil {
		t.Error("other output: want an error")
	}
	ok.stderr = "warning"
	if err := ok.wantOutput(0, "a\n", ""); err == nil {
		t.Error("unwanted stderr: want an error")
	}
}

func TestOutputComplete(t *testing.T) {
	complete := func(o *output) bool {
		select {
		case <-o.complete:
			return true
		default:
			return false
		}
	}
	if !complete(expectOutput("", "")) {
		t.Error("nothing expected: want it complete at once")
	}
	o := expectOutput("ab", "c")
	o.writer(&o.stdout).Write([]byte("a"))
	o.writer(&o.stderr).Write([]byte("c"))
	if complete(o) {
		t.Error("complete before all of it came")
	}
	o.writer(&o.stdout).Write([]byte("bcd")) // too much is complete, and then compared
	if !complete(o) || o.stdout.String() != "abcd" {
		t.Errorf("complete %t with %q", complete(o), &o.stdout)
	}
}

func TestFailures(t *testing.T) {
	good := result{Steps: []stepResult{{Name: "run", Ran: true}}}
	if got := good.failures(); got != "" {
		t.Errorf("got %q", got)
	}
	bad := result{Steps: []stepResult{{Name: "run", Ran: true, Err: "x"}}}
	if got := bad.failures(); got != `"run" failed` {
		t.Errorf("got %q", got)
	}
	if got := (result{Err: "no driver"}).failures(); got != "no driver" {
		t.Errorf("got %q", got)
	}
}

// A step that did not run, and a pairing without steps, are no passes.
func TestStepTable(t *testing.T) {
	got := stepTable("title", []result{
		{Pairing: pairing{ours, ours}, Steps: []stepResult{
			{Name: "run", Ran: true, Time: 120 * time.Millisecond},
			{Name: "exec", Ran: true, Err: "x"},
			{Name: "ps"},
		}},
		{Pairing: pairing{stock, stock}},
	})
	want := `title

| daemon + shim | ours + ours | stock + stock |
|---            |---          |---            |
| run           | ok 0.12s    | not run       |
| exec          | FAIL 0.00s  | not run       |
| ps            | not run     | not run       |
| total         | FAIL 0.1s   | FAIL 0.0s     |
`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestMedian(t *testing.T) {
	samples := []memorySample{{Execs: 9}, {Execs: 1}, {Execs: 5}}
	if got := median(samples, func(m memorySample) int { return m.Execs }); got != 5 {
		t.Errorf("got %d, want 5", got)
	}
}

func TestMemoryOf(t *testing.T) {
	if _, err := os.Stat("/proc/self/status"); err != nil {
		t.Skip("no /proc on this system")
	}
	m, err := memoryOf(os.Getpid())
	if err != nil || m.RSS < m.Anon || m.Anon < 100 {
		t.Errorf("got %+v, %v", m, err)
	}
}

func TestCPUOf(t *testing.T) {
	if _, err := os.Stat("/proc/self/stat"); err != nil {
		t.Skip("no /proc on this system")
	}
	before, err := cpuOf(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(10 * time.Second)
	for {
		after, err := cpuOf(os.Getpid())
		if err != nil {
			t.Fatal(err)
		}
		if after >= before+20 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("ten seconds of work counted as %d ms", after-before)
		}
	}
}

func TestUntilEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	calls := 0
	err := until(ctx, "never", func() (bool, error) {
		if calls++; calls == 2 {
			cancel()
		}
		return false, nil
	})
	if !errors.Is(err, errHung) {
		t.Errorf("got %v, want it to be a hang", err)
	}
	boom := errors.New("boom")
	if err := until(context.Background(), "x", func() (bool, error) { return false, boom }); !errors.Is(err, boom) {
		t.Errorf("got %v, want %v", err, boom)
	}
}

func TestParallel(t *testing.T) {
	var seen [8]bool
	err := parallel(len(seen), func(i int) error {
		seen[i] = true
		return errors.New("x")
	})
	if slices.Contains(seen[:], false) {
		t.Errorf("not all were called: %v", seen)
	}
	if err == nil || !strings.Contains(err.Error(), "and 5 more errors") {
		t.Errorf("got %v", err)
	}
	if err := parallel(3, func(int) error { return nil }); err != nil {
		t.Error(err)
	}
}

// leftovers must see each kind of thing that can stay.
func TestLeftoversSeesFiles(t *testing.T) {
	if _, err := os.Stat("/proc/self/mounts"); err != nil {
		t.Skip("no /proc on this system")
	}
	e := &env{dir: t.TempDir(), job: job{Namespace: tempPrefix + "test"}}
	var err error
	if e.mountsBefore, err = mounts(); err != nil {
		t.Fatal(err)
	}
	bundle := filepath.Join(e.stateDir(), "io.containerd.runtime.v2.task", e.job.Namespace, "box")
	if err := os.MkdirAll(bundle, 0o755); err != nil {
		t.Fatal(err)
	}
	e.mountsBefore = e.mountsBefore[1:]
	left, err := e.leftovers()
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(left, "bundle box") {
		t.Errorf("the bundle is missed: %q", left)
	}
	if !slices.ContainsFunc(left, func(s string) bool { return strings.HasPrefix(s, "mount ") }) {
		t.Errorf("the mount is missed: %q", left)
	}
	// The test's parent process is none of the namespace's two.
	if !slices.ContainsFunc(left, func(s string) bool { return strings.HasPrefix(s, "process ") }) {
		t.Errorf("the processes are missed: %q", left)
	}
}

func TestCheckTimeline(t *testing.T) {
	begin := func(id int) string {
		return fmt.Sprintf(`{"name":"ttrpc.Events/Forward","cat":"call","ph":"b","ts":%d,"id":"%d"}`, id, id)
	}
	end := func(id int, args string) string {
		return fmt.Sprintf(`{"name":"ttrpc.Events/Forward","cat":"call","ph":"e","ts":9,"id":"%d","args":{%s}}`, id, args)
	}
	ok := `"code":"OK"`
	good := []string{begin(1), end(1, ok), begin(2), end(2, ok), begin(3), end(3, ok)}
	for _, c := range []struct {
		name   string
		events []string
		err    string
	}{
		{"good", good, ""},
		{"too few", good[:4], "the end of 2"},
		{"no end", append(good[:6:6], begin(4)), "the beginning of 4"},
		{"failed", append(good[:4:4], begin(3), end(3, `"code":"Unavailable"`)), "bad end"},
		{"end without beginning", append(good[:6:6], end(4, ok)), "bad end"},
		{"violation", append(good[:6:6], `{"name":"data","ph":"i","args":{"violation":"id 0"}}`), "violation"},
		{"no JSON", []string{"{"}, "the timeline: "},
	} {
		t.Run(c.name, func(t *testing.T) {
			name := filepath.Join(t.TempDir(), "timeline.json")
			if err := os.WriteFile(name, []byte("[\n"+strings.Join(c.events, ",\n")+"\n]\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			calls, err := checkTimeline(name)
			if c.err == "" && (err != nil || calls != 3) || c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)) {
				t.Errorf("got %d, %v; want %q", calls, err, c.err)
			}
		})
	}
}
