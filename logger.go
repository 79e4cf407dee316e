package ttrpc

import (
	"fmt"
	"log"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"
)

const (
	// logEventsPerSecond limits the events of each kind, so that a peer cannot fill a
	// disk with its failures.
	logEventsPerSecond = 10

	// maxLogEvent is the length of the longest event in bytes. maxLogNote bytes of it are
	// for the note on the number of omitted bytes.
	maxLogEvent = 16 << 10
	maxLogNote  = 64

	// maxLogValue is the length of the longest panic value in an event, in bytes: the
	// stack needs room too.
	maxLogValue = 2 << 10

	// maxNameLength is the length in bytes of the longest name that an event or a response
	// repeats from a peer.
	maxNameLength = 256
)

// logKind is a kind of event in the log.
type logKind uint8

const (
	logPanic   logKind = iota // in a handler or a handshaker
	logRefused                // a connection that is not served
	logFailed                 // a connection that ended by an error, not by a close
	logAccept                 // a failure to accept
	logKinds                  // the number of kinds
)

func (lk logKind) String() string {
	switch lk {
	case logPanic:
		return "panics"
	case logRefused:
		return "refused connections"
	case logFailed:
		return "failed connections"
	case logAccept:
		return "failures to accept"
	}
	return "logKind(" + strconv.Itoa(int(lk)) + ")"
}

// A limitedLogger writes logEventsPerSecond events of each kind and the number of omitted
// ones, so that a flood of one kind hides no other. Parts of an event's text may come from
// a peer. An event is therefore one line of printable characters, except for the stack of
// a panic, whose lines are indented. Any goroutine may call the methods.
type limitedLogger struct {
	to Logger // nil for the standard logger

	mu        sync.Mutex
	budgets   [logKinds]logBudget
	reporting bool // report is running or has a timer
}

// logBudget counts the events of one kind.
type logBudget struct {
	second  time.Time // start of the second that written counts in
	written int
	skipped int // omitted events that report has not counted yet
}

// event logs an event of one line.
func (lg *limitedLogger) event(kind logKind, format string, args ...any) {
	if lg.allow(kind, time.Now()) {
		lg.write("ttrpc: "+fmt.Sprintf(format, args...), "")
	}
}

// panicked logs a panic with its stack.
func (lg *limitedLogger) panicked(stack []byte, format string, args ...any) {
	if lg.allow(logPanic, time.Now()) {
		lg.write("ttrpc: "+fmt.Sprintf(format, args...), string(stack))
	}
}

// write writes an event, of one line and a stack, to the logger.
func (lg *limitedLogger) write(line, stack string) {
	text := logText(line, stack)
	if lg.to != nil {
		lg.to.Printf("%s", text)
		return
	}
	log.Print(text)
}

// allow reports whether an event may be written now. It counts omitted events, and starts a
// timer for report unless there is one.
func (lg *limitedLogger) allow(kind logKind, now time.Time) bool {
	lg.mu.Lock()
	defer lg.mu.Unlock()
	b := &lg.budgets[kind]
	if now.Sub(b.second) >= time.Second {
		b.second, b.written = now, 0
	}
	if b.written < logEventsPerSecond {
		b.written++
		return true
	}
	b.skipped++
	if !lg.reporting {
		lg.reporting = true
		time.AfterFunc(time.Second, lg.report)
	}
	return false
}

// report writes the number of omitted events. A timer runs it on its own goroutine. If the
// logger is so slow that more events are omitted in the meantime, report starts another
// timer.
func (lg *limitedLogger) report() {
	lg.mu.Lock()
	var skipped [logKinds]int
	for kind := range skipped {
		skipped[kind], lg.budgets[kind].skipped = lg.budgets[kind].skipped, 0
	}
	lg.mu.Unlock()

	for kind, n := range skipped {
		if n > 0 {
			lg.write(fmt.Sprintf("ttrpc: %d log lines were left out (%v)", n, logKind(kind)), "")
		}
	}

	lg.mu.Lock()
	defer lg.mu.Unlock()
	lg.reporting = false
	for kind := range lg.budgets {
		if lg.budgets[kind].skipped > 0 && !lg.reporting {
			lg.reporting = true
			time.AfterFunc(time.Second, lg.report)
		}
	}
}

// logText returns an event of at most maxLogEvent bytes: line, with line breaks and other
// unprintable characters escaped, and the lines of stack, each indented.
func logText(line, stack string) string {
	b, left := appendPrintable(nil, line, maxLogEvent-maxLogNote)
	stack = strings.TrimRight(stack, "\n")
	for more := len(stack) > 0; more && left == 0; {
		var next string
		next, stack, more = strings.Cut(stack, "\n")
		b, left = appendPrintable(append(b, "\n\t"...), next, maxLogEvent-maxLogNote)
	}
	if left += len(stack); left > 0 {
		b = fmt.Appendf(b, "… (%d bytes left out)", left)
	}
	return string(b)
}

// appendPrintable appends s to b, with unprintable characters escaped, until b has limit
// bytes. It returns the number of bytes of s that are left.
func appendPrintable(b []byte, s string, limit int) (_ []byte, left int) {
	for i, n := 0, 0; i < len(s); i += n {
		var r rune
		r, n = utf8.DecodeRuneInString(s[i:])
		length := len(b)
		switch {
		case r == utf8.RuneError && n == 1:
			b = fmt.Appendf(b, `\x%02x`, s[i])
		case r == '\t' || unicode.IsPrint(r):
			b = append(b, s[i:i+n]...)
		default:
			quoted := strconv.QuoteRune(r)
			b = append(b, quoted[1:len(quoted)-1]...)
		}
		if len(b) > limit {
			return b[:length], len(s) - i
		}
	}
	return b, 0
}

// limitedValue prints the value of a panic, cut to maxLogValue bytes.
type limitedValue struct{ value any }

func (lv limitedValue) String() string { return cut(fmt.Sprint(lv.value), maxLogValue) }

// cut returns s if it has at most n bytes, and otherwise its first n bytes, without a
// partial rune, and a note.
func cut[T string | []byte](s T, n int) string {
	if len(s) <= n {
		return string(s)
	}
	for i := 1; i < utf8.UTFMax && !utf8.RuneStart(s[n]); i++ {
		n--
	}
	return fmt.Sprintf("%s… (%d bytes left out)", s[:n], len(s)-n)
}

// quoteName quotes a name chosen by a peer.
func quoteName(name string) string { return strconv.Quote(cut(name, maxNameLength)) }
