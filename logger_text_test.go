package ttrpc

import (
	"testing"
	"time"
)

// Bytes that are no text are escaped, and the limit is exact.
func TestPrintableText(t *testing.T) {
	for _, test := range []struct {
		text  string
		limit int
		want  string
		left  int
	}{
		{"\xff", 10, `\xff`, 0},
		{"\uFFFD", 10, "\uFFFD", 0},
		{"abc", 3, "abc", 0},
		{"abc", 2, "ab", 1},
	} {
		if got, left := appendPrintable(nil, test.text, test.limit); string(got) != test.want || left != test.left {
			t.Errorf("%q, %d: got %q, %d, want %q, %d", test.text, test.limit, got, left, test.want, test.left)
		}
	}
	if got, want := logText("line", "stack\n\n"), "line\n\tstack"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// loggerFunc is a Logger.
type loggerFunc func()

func (f loggerFunc) Printf(string, ...any) { f() }

// The report of omitted events starts another timer if more were omitted meanwhile.
func TestLogReportsAgain(t *testing.T) {
	var lg limitedLogger
	lg.report()
	if lg.reporting {
		t.Error("there is nothing to report, but a timer")
	}
	lg.to = loggerFunc(func() { lg.budgets[0].skipped = 1 })
	lg.budgets[0] = logBudget{second: time.Now(), skipped: 1}
	lg.report()
	lg.mu.Lock()
	defer lg.mu.Unlock()
	if !lg.reporting {
		t.Error("there is no timer for the events that were omitted meanwhile")
	}
	lg.to = loggerFunc(func() {})
}
