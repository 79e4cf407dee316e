package main

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"
	"time"
)

func TestAttacksHaveNames(t *testing.T) {
	seen := make(map[string]bool)
	for _, a := range attacks {
		if seen[a.name] || a.does == "" || a.run == nil {
			t.Errorf("%q comes twice, or is not complete", a.name)
		}
		seen[a.name] = true
		if a.client != strings.HasPrefix(a.name, "client-") {
			t.Errorf("%q: its name and its victim differ", a.name)
		}
	}
}

func TestFrames(t *testing.T) {
	want := []byte{0, 0, 0, 2, 0, 0, 0, 5, 3, 1, 'x', 'y'}
	if got := frame(5, typeData, remoteClosed, []byte("xy")); !bytes.Equal(got, want) {
		t.Errorf("a frame is %v, want %v", got, want)
	}
	id, typ, err := readFrame(bytes.NewReader(want))
	if id != 5 || typ != typeData || err != nil {
		t.Errorf("read stream %d, type %d, %v", id, typ, err)
	}
}

// Each level of a nested message is whole, and there are as many as there is room for.
func TestNested(t *testing.T) {
	b, levels := nested(10_000), 0
	for len(b) > 20 {
		length, n := binary.Uvarint(b[1:])
		if int(length) != len(b)-1-n {
			t.Fatalf("level %d claims %d bytes of %d", levels, length, len(b)-1-n)
		}
		b = b[1+n:]
		levels++
	}
	if levels < 3000 {
		t.Errorf("%d levels in 10,000 bytes", levels)
	}
}

func TestCheck(t *testing.T) {
	a := &attack{bounds: bounds{heap: 100}}
	for _, c := range []struct {
		name string
		r    result
		want string // in the failure; empty for none
	}{
		{"nothing", result{}, ""},
		{"within the attack's bound", result{heap: 100}, ""},
		{"beyond it", result{heap: 101}, "101 MiB of live heap, at most 100"},
		{"beyond a usual one", result{threads: usual.threads + 1}, "threads"},
		{"a log in 2 s", result{log: 3 * usual.log << 10}, ""},
		{"too much log in 2 s", result{log: (3*usual.log + 1) << 10}, "log"},
		{"a forged line", result{escapes: 1}, "escape"},
		{"a slow call", result{p99: time.Second}, "p99"},
		{"a fault", result{faults: []string{"Close hangs"}}, "Close hangs"},
		{"the end of the process", result{died: true}, "died"},
	} {
		got := strings.Join(c.r.check(a, 2*time.Second), "; ")
		if c.want == "" && got != "" || !strings.Contains(got, c.want) {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}
