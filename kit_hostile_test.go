//go:build go1.25 && unix

package ttrpc

import (
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// FuzzHostileServer and FuzzHostileClient share this file. Their inputs are programs for a
// hostile peer in a bubble: frames on a few ids that many calls share, cut anywhere, with
// pauses and ends between them.

// hostileLimits are so small that a program of a few steps reaches them.
var hostileLimits = Limits{MaxMessageLength: 600, MaxPendingWrite: 300, MaxStreamBuffer: 200}

// maxHostileProgram is the longest program, in bytes.
const maxHostileProgram = 400

// hostileIDs are the ids that a program uses. They are few, so that a program often repeats
// an id that is in use or whose stream has just ended.
var hostileIDs = [...]streamID{1, 3, 5, 7, 1, 0, 2, 1<<32 - 1}

// hostilePauses are close to the time limits of the library.
var hostilePauses = [...]time.Duration{
	100 * time.Microsecond, time.Millisecond, farewell, idleLimit,
	lingerLimit, slowConsumerLimit / 3, slowConsumerLimit + time.Millisecond, replyTimeout + time.Second,
}

// endLimit is the longest time that Close, and everything that it ends, may take.
const endLimit = maxLinger + 2*lingerLimit

// hostileCode is the rest of a program.
type hostileCode struct{ b []byte }

func (c *hostileCode) next() byte {
	if len(c.b) == 0 {
		return 0
	}
	x := c.b[0]
	c.b = c.b[1:]
	return x
}

// A hostilePeer is the raw end of a connection. The goroutine of the program owns it.
type hostilePeer struct {
	near, far *memConn
	capacity  int
	pending   []byte // frames that the program has made and not sent
	sent      []byte
	output    []byte // the bytes of the other end that were read
	seq       int    // the number of the last message
	lied      bool   // the peer has sent a header that ends the connection
	closed    bool   // the peer sends nothing any more
	paused    time.Duration
}

// newHostilePeer makes a connection whose other end can write capacity bytes that nobody
// reads; 0 means no limit.
func newHostilePeer(capacity int) *hostilePeer {
	in, out := newMemHalf(capacity), newMemHalf(0)
	return &hostilePeer{
		near: &memConn{in: in, out: out}, far: &memConn{in: out, out: in}, capacity: capacity,
	}
}

// message returns a new message. Its value has the number of the message and its id.
func (p *hostilePeer) message(id streamID, size byte) *KeyValue {
	p.seq++
	return text(fmt.Sprintf("%d/%d/%s", p.seq, id, strings.Repeat("x", int(size)*2)))
}

func (p *hostilePeer) add(f rawFrame) { p.pending = append(p.pending, f.encode()...) }

// step does one of the steps that both roles have, and reports whether op is such a step.
func (p *hostilePeer) step(op byte, code *hostileCode) bool {
	switch op {
	case 0: // some of the pending bytes, which need not end with a frame
		p.send(min(len(p.pending), 1+int(code.next())))
	case 1:
		p.send(len(p.pending))
	case 2:
		pause := hostilePauses[code.next()%8]
		p.paused += pause
		time.Sleep(pause)
	case 3:
		p.read(int(code.next()) * 4)
	case 4:
		p.read(1 << 20)
	case 5: // a message over the limit
		id := hostileIDs[code.next()%8]
		p.add(rawFrame{id: id, typ: messageType(code.next() % 5), body: make([]byte, hostileLimits.MaxMessageLength+1+int(code.next()))})
	case 6: // any frame
		id := hostileIDs[code.next()%8]
		typ, fl := messageType(code.next()), flags(code.next())
		if typ >= messageTypeSettings && typ <= lastExtensionType {
			p.add(scriptExtension(id, byte(typ)&0xf|byte(fl)&0xf0, byte(fl)))
		} else {
			p.add(rawFrame{id: id, typ: typ, flags: fl, body: []byte("no message")})
		}
	case 7: // a header; the next frames are its payload
		h := make([]byte, headerLength)
		putHeader(h, header{length: uint32(code.next()), id: hostileIDs[code.next()%8], typ: messageType(code.next() % 5)})
		p.pending = append(p.pending, h...)
	case 8:
		if code.next()%8 == 0 {
			p.pending = append(p.pending, "\x01 no header"...)
		}
	case 9:
		p.near.CloseWrite()
		p.closed = true
	case 10:
		p.near.Close()
		p.closed = true
	default:
		return false
	}
	return true
}

// send sends n of the pending bytes.
func (p *hostilePeer) send(n int) {
	if p.closed {
		p.pending = nil
		return
	}
	b := p.pending[:n]
	p.pending = p.pending[n:]
	if _, err := p.near.Write(b); err != nil {
		p.pending, p.closed = nil, true // the other end has closed
		return
	}
	p.sent = append(p.sent, b...)
}

// read reads n bytes, if they arrive without a pause.
func (p *hostilePeer) read(n int) {
	for h := p.near.in; n > 0; {
		synctest.Wait()
		h.mu.Lock()
		got := min(n, len(h.buf))
		p.output = append(p.output, h.buf[:got]...)
		h.buf = h.buf[got:]
		h.changed.Broadcast()
		h.mu.Unlock()
		if got == 0 {
			return
		}
		n -= got
	}
}

// readOn reads for the time d, as a well-behaved peer does.
func (p *hostilePeer) readOn(d time.Duration) {
	for step := d / 1000; d > 0; d -= step {
		p.read(1 << 20)
		time.Sleep(step)
	}
	p.read(1 << 20)
}

// aligned reports whether the peer has sent only whole frames, none of which ends the
// connection.
func (p *hostilePeer) aligned() bool {
	for _, f := range splitFrames(p.sent, hostileLimits.MaxMessageLength) {
		if f.err != nil {
			p.lied = f.err == ErrProtocol || mayEndByExtension(p.sent, hostileLimits.MaxMessageLength)
			return f.err == io.EOF
		}
	}
	return false
}

// A hostileWatch knows the goroutines of a program that must end.
type hostileWatch struct {
	t       *testing.T
	running map[string]*hostileTask
	started int
}

type hostileTask struct {
	ended chan struct{}
	until time.Time // the goroutine must have ended by then; zero for no limit
}

// run runs f on a goroutine, which must end within limit; 0 means no limit.
func (w *hostileWatch) run(what string, limit time.Duration, f func()) {
	w.started++
	task := &hostileTask{ended: make(chan struct{})}
	start := time.Now()
	if limit > 0 {
		task.until = start.Add(limit)
	}
	what = fmt.Sprint(what, " ", w.started)
	w.running[what] = task
	go func() {
		defer close(task.ended)
		f()
		if took := time.Since(start); limit > 0 && took > limit {
			w.t.Errorf("%s took %v, want at most %v", what, took, limit)
		}
	}()
}

// left returns the number of running goroutines, and fails the test for those that are
// late.
func (w *hostileWatch) left() (n int) {
	synctest.Wait()
	for what, task := range w.running {
		select {
		case <-task.ended:
			delete(w.running, what)
			continue
		default:
		}
		n++
		if !task.until.IsZero() && time.Now().After(task.until) {
			w.t.Errorf("%s hangs", what)
		}
	}
	return n
}

// end waits for the end of all goroutines.
func (w *hostileWatch) end(limit time.Duration) {
	time.Sleep(limit)
	if w.left() > 0 {
		for what := range w.running {
			w.t.Errorf("%s hangs after the end of everything", what)
		}
	}
}

// rising checks that the messages of a stream arrive in order and have its id, if the id is
// known.
type rising struct{ last int }

func (r *rising) check(value string, id streamID) error {
	var seq int
	var of streamID
	if _, err := fmt.Sscanf(value, "%d/%d/", &seq, &of); err != nil {
		return fmt.Errorf("the message %.20q was not sent", value)
	}
	if seq <= r.last || id != 0 && of != id {
		return fmt.Errorf("message %d of stream %d came on stream %d after message %d", seq, of, id, r.last)
	}
	r.last = seq
	return nil
}
