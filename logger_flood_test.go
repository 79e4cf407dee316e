//go:build go1.25

package ttrpc

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"unicode"
)

// A floodTest is a server in a bubble whose peers cause events in the log.
type floodTest struct {
	*serverTest
	rec *logRecorder

	// Both are set before the connection or call that they are for.

	refuse error // of the handshaker; nil admits
	value  any   // of the panics of flood.Service/Panic, and of the handshaker's unless it is nil there
}

func newFloodTest(t *testing.T) *floodTest {
	ft := &floodTest{rec: newLogRecorder()}
	ft.serverTest = newServerTest(t, WithServerLogger(ft.rec), WithServerHandshaker(handshakeFunc(ft.handshake)))
	ft.server.Register("flood.Service", map[string]Method{
		"Panic": func(context.Context, func(any) error) (any, error) { panic(ft.value) },
	})
	return ft
}

func (ft *floodTest) handshake(_ context.Context, nc net.Conn) (net.Conn, any, error) {
	if ft.refuse == errHandshakePanic {
		panic(ft.value)
	}
	named, _ := nc.(namedConn)
	return nc, named.peer, ft.refuse
}

// errHandshakePanic makes the handshaker panic.
var errHandshakePanic = errors.New("panic")

func (ft *floodTest) panics(value any) {
	ft.value = value
	p := ft.dial()
	p.send(requestFrame(1, 0, &Request{Service: "flood.Service", Method: "Panic"}))
	p.next("the answer to a panic")
	p.conn.Close()
}

func (ft *floodTest) refuses(err error) {
	ft.refuse = err
	ft.dial().wantClosed("refused")
	ft.refuse = nil
}

func (ft *floodTest) fails() {
	p := ft.dial()
	p.sendBytes(brokenHeader)
	p.wantClosed("a broken frame")
}

// brokenHeader ends a connection.
var brokenHeader = []byte{0xff, 0xff, 0xff, 0xff, 0, 0, 0, 1, 1, 0}

// A flood consists of many events of one kind.
type flood struct {
	kind logKind
	text string // in each event
	once func(*floodTest)
}

var floods = []flood{
	{logPanic, "panicked: on purpose", func(ft *floodTest) { ft.panics("on purpose") }},
	{logRefused, "refused: not you", func(ft *floodTest) { ft.refuses(errors.New("not you")) }},
	{logFailed, "failed: protocol error", (*floodTest).fails},
}

// count returns the number of lines with the text.
func (l *logRecorder) count(text string) (n int) {
	for _, line := range l.all() {
		if strings.Contains(line, text) {
			n++
		}
	}
	return n
}

// A flood of events of one kind hides no event of another kind.
func TestLogFloodHidesNoOtherKind(t *testing.T) {
	for _, flood := range floods {
		bubble(t, func(t *testing.T) {
			ft := newFloodTest(t)
			const events = 5 * 10
			for i := 0; i < events; i++ {
				flood.once(ft)
			}
			if n := ft.rec.count(flood.text); n < 10 || n > 20 {
				t.Errorf("%d of %d events are in the log with %q", n, events, flood.text)
			}
			for _, other := range floods {
				if other.kind == flood.kind {
					continue
				}
				other.once(ft)
				if n := ft.rec.count(other.text); n != 1 {
					t.Errorf("after many events with %q: %d with %q, want 1", flood.text, n, other.text)
				}
			}
		})
	}
}

// The number of omitted events is in the log a second later, even if nothing else happens
// or the server is closed in the meantime. No further line follows.
func TestLogCountComesByTimer(t *testing.T) {
	for _, closes := range []bool{false, true} {
		for _, flood := range floods {
			bubble(t, func(t *testing.T) {
				ft := newFloodTest(t)
				start := time.Now()
				const events = 3 * 10
				for i := 0; i < events; i++ {
					flood.once(ft)
				}
				if took := time.Since(start); took >= time.Second {
					t.Fatalf("the flood took %v", took)
				}
				if closes {
					ft.server.Close()
				}
				time.Sleep(time.Second)
				synctest.Wait()
				want := fmt.Sprintf("ttrpc: %d log lines were left out (%v)", events-10, flood.kind)
				if lines := ft.rec.all(); len(lines) != 11 || lines[10] != want {
					t.Errorf("got %d lines, the last %q, want %q", len(lines), lines[len(lines)-1], want)
				}
				time.Sleep(time.Hour)
				if lines := ft.rec.all(); len(lines) > 11 {
					t.Errorf("an hour later there is more in the log: %q", lines[11:])
				}
			})
		}
	}
}

// The events of a long flood are counted every second.
func TestLogCountsLongFlood(t *testing.T) {
	bubble(t, func(t *testing.T) {
		rec := newLogRecorder()
		l := &limitedLogger{to: rec}
		const seconds, perSecond = 5, 100
		for i := 0; i < seconds*perSecond; i++ {
			l.event(logFailed, "event %d", i)
			time.Sleep(time.Second / perSecond)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		written, leftOut := rec.count("event"), 0
		for _, line := range rec.all() {
			var n int
			if _, err := fmt.Sscanf(line, "ttrpc: %d log lines were left out", &n); err == nil {
				leftOut += n
			}
		}
		if written+leftOut != seconds*perSecond || written > (seconds+1)*10 {
			t.Errorf("%d events: %d were written and %d were said to be left out", seconds*perSecond, written, leftOut)
		}
		if n := rec.count("left out"); n > seconds+1 {
			t.Errorf("%d lines say how many were left out", n)
		}
	})
}

// A logger that blocks holds up one goroutine that reports omitted events, not one each
// second.
func TestLogCountWaitsForBlockedLogger(t *testing.T) {
	bubble(t, func(t *testing.T) {
		gate := &gatedLogger{open: make(chan struct{})}
		l := &limitedLogger{to: gate}
		for second := 0; second < 5; second++ {
			for i := 0; i < 2*10; i++ {
				l.event(logFailed, "event")
			}
			time.Sleep(time.Second)
			synctest.Wait()
		}
		if n := gate.waiting.Load(); n != 1 {
			t.Errorf("%d goroutines wait for the logger, want 1", n)
		}
		close(gate.open)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if gate.leftOut.Load() != 5*10 {
			t.Errorf("%d lines were counted, want %d", gate.leftOut.Load(), 5*10)
		}
	})
}

// A peer can write neither a line of its own into the log, nor a control character, nor
// more than 16 KiB with one event, by the value of a panic or by the text of an error.
func TestLogOfPeersText(t *testing.T) {
	const forged = "ttrpc: all is well"
	for name, value := range map[string]string{
		"line":        "x\n" + forged + "\r" + forged,
		"terminal":    "\x1b]0;x\a\u009b2J\u202e\u2028" + forged,
		"invalid":     "\xff\xfe\n" + forged,
		"long":        strings.Repeat("long ", 200_000),
		"long, lines": strings.Repeat(forged+"\n", 50_000),
		"long, worst": strings.Repeat("\x00", 1_000_000),
	} {
		bubble(t, func(t *testing.T) {
			ft := newFloodTest(t)
			ft.panics(value)
			ft.panics(errors.New(value))
			ft.refuses(errors.New(value))
			ft.refuses(errHandshakePanic)
			events := ft.rec.all()
			if len(events) != 4 {
				t.Fatalf("%s: %d events, want 4", name, len(events))
			}
			for _, event := range events {
				checkLogEvent(t, name, event)
				if strings.Contains(event, "panic") && !strings.Contains(event, "logger_flood_test.go") {
					t.Errorf("%s: no stack in %.300q", name, event)
				}
				if strings.HasPrefix(name, "long") && !strings.Contains(event, "bytes left out)") {
					t.Errorf("%s: nothing says that there was more: %.100q", name, event)
				}
			}
		})
	}
}

// A long stack is cut and keeps its beginning.
func TestLogOfDeepStack(t *testing.T) {
	bubble(t, func(t *testing.T) {
		ft := newFloodTest(t)
		ft.server.Register("deep.Service", map[string]Method{
			"Panic": func(context.Context, func(any) error) (any, error) { return nil, deepPanic(1000) },
		})
		p := ft.dial()
		p.send(requestFrame(1, 0, &Request{Service: "deep.Service", Method: "Panic"}))
		p.next("the answer to a panic")
		event := ft.rec.all()[0]
		checkLogEvent(t, "deep", event)
		if !strings.Contains(event, "deepPanic") {
			t.Errorf("the stack is not in the log: %.300q", event)
		}
	})
}

//go:noinline
func deepPanic(depth int) error {
	if depth == 0 {
		panic(strings.Repeat("value\n", 10_000))
	}
	return deepPanic(depth - 1)
}

// checkLogEvent checks that event is one line and further indented lines of printable
// characters.
func checkLogEvent(t *testing.T, name, event string) {
	t.Helper()
	if len(event) > 16<<10 {
		t.Errorf("%s: an event of %d bytes", name, len(event))
	}
	for i, line := range strings.Split(event, "\n") {
		if want := map[bool]string{true: "ttrpc: ", false: "\t"}[i == 0]; !strings.HasPrefix(line, want) {
			t.Errorf("%s: line %d does not begin with %q: %.100q", name, i, want, line)
		}
		if strings.ContainsFunc(line, func(r rune) bool { return r != '\t' && !unicode.IsPrint(r) }) {
			t.Errorf("%s: line %d has a control character: %.100q", name, i, line)
		}
	}
}

// namedConn has a remote address that the peer chose.
type namedConn struct {
	net.Conn
	name string
	peer any // of the handshaker
}

func (c namedConn) RemoteAddr() net.Addr { return &net.UnixAddr{Name: c.name, Net: "unix"} }

// The name of a peer is quoted, even if it is harmless: no name can pass for the library's
// words.
func TestLogQuotesPeer(t *testing.T) {
	for _, name := range []string{"/run/x", `/run/x refused: not you" (`, "pid 1, uid 0, gid 0", "/run/x\n\x1b[2J", strings.Repeat("n", 1000)} {
		bubble(t, func(t *testing.T) {
			ft := newFloodTest(t)
			quoted := fmt.Sprintf("%q", name)
			if len(name) == 1000 {
				quoted = fmt.Sprintf("%q", name[:256]+"… (744 bytes left out)")
			}
			for _, peer := range []any{nil, name, errors.New(name)} {
				near, far := memPipe(0)
				defer near.Close()
				ft.l.hand(namedConn{far, name, peer})
				near.Write(brokenHeader)
				synctest.Wait()
				want := "ttrpc: connection from " + quoted + " failed: protocol error: "
				if lines := ft.rec.all(); !strings.HasPrefix(lines[len(lines)-1], want) {
					t.Errorf("got  %s\nwant %s", lines[len(lines)-1], want)
				}
			}
		})
	}
}

// A gatedLogger is a Logger that blocks until open is closed.
type gatedLogger struct {
	open    chan struct{}
	waiting atomic.Int64 // goroutines that wait
	leftOut atomic.Int64 // lines that were said to be left out
}

func (l *gatedLogger) Printf(format string, args ...any) {
	line := fmt.Sprintf(format, args...)
	var n int64
	if _, err := fmt.Sscanf(line, "ttrpc: %d log lines were left out", &n); err != nil {
		return
	}
	l.waiting.Add(1)
	<-l.open
	l.leftOut.Add(n)
}
