//go:build go1.25

package ttrpc

import (
	"bytes"
	"strings"
	"testing"
)

// testLogger collects lines.
type testLogger struct{ lines bytes.Buffer }

func (l *testLogger) Printf(format string, args ...any) {
	l.lines.WriteString(strings.TrimSpace(newStatus(0, format, args...).Message) + "\n")
}

// want checks that the log consists of lines with these texts.
func (l *testLogger) want(t *testing.T, texts ...string) {
	t.Helper()
	lines := strings.Split(strings.TrimSuffix(l.lines.String(), "\n"), "\n")
	if l.lines.Len() == 0 {
		lines = nil
	}
	if len(lines) != len(texts) {
		t.Errorf("got %d lines in the log, want %d: %q", len(lines), len(texts), lines)
		return
	}
	for i, text := range texts {
		if !strings.Contains(lines[i], text) {
			t.Errorf("line %d of the log is %q, want %q in it", i, lines[i], text)
		}
	}
}
