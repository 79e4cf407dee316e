package ttrpc

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"strings"
	"sync"
	"testing"
	"time"
)

// A logRecorder is a Logger for tests.
type logRecorder struct {
	mu    sync.Mutex
	lines []string
	more  chan struct{} // receives when there is a new line
}

func newLogRecorder() *logRecorder { return &logRecorder{more: make(chan struct{}, 1)} }

func (l *logRecorder) Printf(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, fmt.Sprintf(format, args...))
	select {
	case l.more <- struct{}{}:
	default:
	}
}

func (l *logRecorder) all() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]string(nil), l.lines...)
}

// wait waits for a line that has all of the texts, and returns it.
func (l *logRecorder) wait(t testing.TB, texts ...string) string {
	t.Helper()
	timeout := time.NewTimer(testTimeout)
	defer timeout.Stop()
	for {
		for _, line := range l.all() {
			found := true
			for _, text := range texts {
				found = found && strings.Contains(line, text)
			}
			if found {
				return line
			}
		}
		select {
		case <-l.more:
		case <-timeout.C:
			t.Fatalf("no log line with %q in %q", texts, l.all())
		}
	}
}

// The log gets a limited number of lines each second, and the number of the others.
func TestLogRateLimit(t *testing.T) {
	l := &limitedLogger{to: newLogRecorder()} // the count comes when the test is over
	start := time.Unix(1000, 0)
	for second := 0; second < 3; second++ {
		now := start.Add(time.Duration(second) * time.Second)
		for i := 0; i < 25; i++ {
			ok := l.allow(logFailed, now.Add(time.Duration(i)*10*time.Millisecond))
			if want := i < logEventsPerSecond; ok != want {
				t.Fatalf("second %d, line %d: allowed is %v, want %v", second, i, ok, want)
			}
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if got, want := l.budgets[logFailed].skipped, 3*(25-logEventsPerSecond); got != want {
		t.Errorf("%d were left out, want %d", got, want)
	}
}

// A hostile peer cannot fill a disk: its violations on many connections make only a few
// lines.
func TestLogOfHostilePeers(t *testing.T) {
	rec := newLogRecorder()
	s, addr := newTestServer(t, echoMethods(), WithServerLogger(rec))
	for i := 0; i < 500; i++ {
		w := dialWire(t, addr)
		w.write(header{length: 1 << 24, id: 1, typ: messageTypeRequest}, nil)
		if _, err := w.tryRead(); err == nil {
			t.Fatal("the connection is alive")
		}
		w.Close()
	}
	serverIdle(t, s)
	line := rec.wait(t, "ttrpc: connection", "failed", "protocol error")
	if strings.Contains(line, "\n") {
		t.Errorf("more than a line: %q", line)
	}
	if n := len(rec.all()); n > 100 {
		t.Errorf("%d lines were written", n)
	}
}

// Ordinary operation writes nothing: connections that open and close, errors of handlers,
// refused calls.
func TestLogIsQuiet(t *testing.T) {
	rec := newLogRecorder()
	s, addr := newTestServer(t, echoMethods(), WithServerLogger(rec))
	for i := 0; i < 10; i++ {
		c := dialTest(t, addr)
		if err := echo(testContext(t), c, "x"); err != nil {
			t.Fatal(err)
		}
		for _, method := range []string{"Fail", "Nonexistent"} {
			if err := c.Call(testContext(t), testService, method, &KeyValue{}, &KeyValue{}); err == nil {
				t.Errorf("%s succeeded", method)
			}
		}
		blocked := goErr(func() error { return c.Call(context.Background(), testService, "Block", &KeyValue{}, &KeyValue{}) })
		if i%2 == 0 {
			c.Close()
		} else {
			c.conn.ch.conn.Close() // as if it broke
		}
		if err := within(t, "Call", blocked); err != ErrClosed {
			t.Errorf("got %v", err)
		}
	}
	serverIdle(t, s)
	if lines := rec.all(); len(lines) != 0 {
		t.Errorf("the log has %q", lines)
	}
}

// Without a Logger, lines go to the standard logger. That is global, so this test does not
// run in parallel with others.
func TestLogDefault(t *testing.T) {
	var buf bytes.Buffer
	defer log.SetOutput(log.Writer())
	log.SetOutput(&buf)
	(&limitedLogger{}).event(logFailed, "a line of %s", "text")
	log.SetOutput(io.Discard) // no count of an earlier server's lines comes from now on
	if got := buf.String(); !strings.Contains(got, "ttrpc: a line of text\n") {
		t.Errorf("got %q", got)
	}
}
