package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The test binary plays a peer that misbehaves when this is set.
const fakeVar = "TTRPC_INTEROP_FAKE"

func TestMain(m *testing.M) {
	if os.Getenv(fakeVar) != "" {
		fakePeer(os.Args[1:])
		return
	}
	os.Setenv(fakeVar, "1") // for the processes that tests start
	os.Exit(m.Run())
}

func fakePeer(args []string) {
	quit := make(chan os.Signal, 1)
	signal.Notify(quit, syscall.SIGQUIT)
	go func() {
		<-quit
		fmt.Fprintln(os.Stderr, "the goroutines of", args[0])
		fmt.Println("dumped")
	}()
	switch args[0] {
	case "serve":
		fmt.Println("ready")
	case "client":
		var name string
		for {
			if _, err := fmt.Scanln(&name); err != nil {
				return
			}
			switch name {
			case "passes":
				fmt.Println("ok")
			case "fails":
				fmt.Fprintln(os.Stderr, "what the library logged")
				fmt.Println(`fail "two\nlines"`)
			case "crashes":
				panic("on purpose")
			case "hangs":
				// With a child, which must go with it.
				child := exec.Command(os.Args[0], "sleep")
				child.Stderr = os.Stderr // which the driver reads to its end
				if err := child.Start(); err != nil {
					panic(err)
				}
				fmt.Fprintln(os.Stderr, "child", child.Process.Pid)
			}
		}
	}
	time.Sleep(time.Hour)
}

func fakeBuild(t *testing.T) *build {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return &build{name: "fake", program: program, streams: true}
}

func TestVerdicts(t *testing.T) {
	b := fakeBuild(t)
	p := &pairing{client: b, server: b}
	err := p.run([]testCase{
		{name: "passes"}, {name: "fails"}, {name: "crashes"},
		{name: "hangs", limit: 500 * time.Millisecond},
		{name: "no_gogo", needs: needGogo},
	}, false)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []struct {
		name    string
		verdict verdict
		why     string
		stderr  string
	}{
		{"passes", pass, "", ""},
		{"fails", fail, "two\nlines", "what the library logged"},
		{"crashes", fail, "the client crashed", "panic: on purpose"},
		{"hangs", fail, "hangs: no end within 500ms", "the goroutines of client\nstderr of the server:\nthe goroutines of serve"},
		{"no_gogo", cannot, "the client takes only protobuf-go messages", ""},
	} {
		got := p.results[want.name]
		if got.verdict != want.verdict || got.why != want.why || !strings.Contains(got.stderr, want.stderr) {
			t.Errorf("%s: got %v, %q, stderr %q", want.name, got.verdict, got.why, got.stderr)
		}
	}

	var child int
	_, after, _ := strings.Cut(p.results["hangs"].stderr, "child ")
	if _, err := fmt.Sscan(after, &child); err != nil {
		t.Fatalf("no child in %q", p.results["hangs"].stderr)
	}
	if err := syscall.Kill(child, 0); err != syscall.ESRCH && !isZombie(child) {
		t.Errorf("the child of the hung client lives on: %v", err)
	}
}

// isZombie tells a process that is dead and only waits to be reaped.
func isZombie(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err != nil || bytes.Contains(stat, []byte(") Z "))
}

func TestServerThatDoesNotStart(t *testing.T) {
	b := fakeBuild(t)
	b.program = "/bin/false"
	if _, _, err := startServer(b, "unused"); err == nil || !strings.Contains(err.Error(), "did not start") {
		t.Errorf("got %v", err)
	}
}

func TestBuildWithoutACase(t *testing.T) {
	b := fakeBuild(t)
	b.program = "/bin/true" // lists no cases at all
	if err := b.checkCases(context.Background()); err == nil || !strings.Contains(err.Error(), "case empty_unary") {
		t.Errorf("got %v", err)
	}
}

func TestMatrix(t *testing.T) {
	old := releases[0]
	one := func(v verdict, why string) *pairing {
		return &pairing{client: old, server: ours[0], results: map[string]result{"some": {verdict: v, why: why}, "rest": {verdict: cannot, why: "too old"}}}
	}
	cases := []testCase{{name: "some"}, {name: "rest"}}
	for _, test := range []struct {
		pairings []*pairing
		want     string
	}{
		{[]*pairing{one(pass, ""), one(pass, "")}, "pass"},
		{[]*pairing{one(cannot, "why"), one(pass, "")}, "pass"},
		{[]*pairing{one(pass, ""), one(fail, "broken"), one(cannot, "why")}, "FAIL"},
		{[]*pairing{one(unknown, "")}, "-"},
	} {
		var out bytes.Buffer
		for _, table := range tables(test.pairings) {
			table.write(&out, cases)
		}
		lines := strings.Split(out.String(), "\n")
		if got := strings.Join(strings.Fields(lines[4]), " "); got != "some "+test.want {
			t.Errorf("got row %q, want %s", got, test.want)
		}
		if want := "  cannot, all of these: too old: rest"; lines[5] != want {
			t.Errorf("got %q, want %q", lines[5], want)
		}
	}
}

func TestMatrixNotes(t *testing.T) {
	results := func(v verdict, why string) []*pairing {
		return []*pairing{{results: map[string]result{"some": {verdict: v, why: why}}}}
	}
	table := table{title: "title", columns: []column{
		{"a", results(pass, "")}, {"b", results(cannot, "x")}, {"c", results(cannot, "y")}, {"d", results(cannot, "x")},
	}}
	var out bytes.Buffer
	table.write(&out, []testCase{{name: "some"}})
	for _, want := range []string{"pass", "cannot[1] cannot[2] cannot[1]\n", "cannot[1]: x\n", "cannot[2]: y\n"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, &out)
		}
	}
}

func TestDefects(t *testing.T) {
	byName := map[string]*build{}
	for _, b := range append(releases[:len(releases):len(releases)], ours...) {
		byName[b.name] = b
	}
	for _, test := range []struct {
		name, client, server string
		known                bool
	}{
		{"unimplemented_method", "ours", "v1.0.2", true},
		{"unimplemented_method", "v1.0.2", "ours", false},
		{"unimplemented_method", "ours", "v1.1.0", false},
		{"status_details", "v1.1.2", "ours", true},
		{"status_details", "ours", "v1.1.2", false},
		{"concurrency_256", "v1.0.2", "v1.0.2", true},
		{"concurrency_256", "v1.0.2", "ours-gogo", false},
		{"concurrency_256", "ours-gogo", "v1.0.2", false},
		{"limit_response_over", "ours", "ours", false},
	} {
		why, structural := whyNot(testCase{name: test.name}, byName[test.client], byName[test.server])
		if got := why != ""; got != test.known || structural {
			t.Errorf("%s, %s -> %s: got %q", test.name, test.client, test.server, why)
		}
	}
}

// TestTables finds names that refer to nothing.
func TestTables(t *testing.T) {
	cases := map[string]bool{}
	for _, c := range testCases {
		if cases[c.name] {
			t.Errorf("case %s is in the table twice", c.name)
		}
		cases[c.name] = true
	}
	for _, d := range defects {
		if releaseIndex(d.first) > releaseIndex(d.last) {
			t.Errorf("defect from %s to %s: the wrong way round", d.first, d.last)
		}
		for _, name := range d.cases {
			if !cases[name] {
				t.Errorf("defect of case %s, which is not in the table", name)
			}
		}
	}
}

// The cases that Rust cannot do are known by role, and streams are no defect of it.
func TestRustCannot(t *testing.T) {
	our := ours[len(ours)-1]
	for _, test := range []struct {
		name           string
		client, server *build
		known          bool
	}{
		{"cancel_in_call", rusts[0], our, true},
		{"cancel_in_call", our, rusts[0], false},
		{"cancel_in_call", rusts[1], our, false},
		{"limit_response_over", rusts[1], our, false},
		{"limit_response_over", rusts[1], rusts[1], true},
	} {
		why, structural := whyNot(testCase{name: test.name}, test.client, test.server)
		if got := why != ""; got != test.known || structural {
			t.Errorf("%s, %s -> %s: got %q", test.name, test.client.name, test.server.name, why)
		}
	}
	if _, structural := whyNot(testCase{name: "ping_pong", needs: needStreams}, our, rusts[0]); !structural {
		t.Error("a case of streams is tried with Rust")
	}
}
