package watch

import (
	"fmt"
	"sort"
	"strings"
	"time"

	"github.com/containerd/ttrpc/cmd/ttrpc/internal/proxy"
	"github.com/containerd/ttrpc/internal/frame"
)

const (
	// maxCalls is how many open calls of a connection are followed.
	maxCalls = 1 << 16

	// maxGone is how many calls that the client has cancelled are remembered.
	maxGone = 1 << 12
)

// A conn follows one connection.
type conn struct {
	w       *Watcher
	id      int
	readers [2]*reader // by direction

	calls  map[uint32]*Call
	lastID uint32          // the highest id of a request
	gone   map[uint32]bool // cancelled calls, whose final frames may be on their way

	// blind is set when frames may have been missed: the rules for the frames of a
	// stream cannot be checked any more.
	blind bool

	offered  *frame.Settings // of the client; nil before
	settings *frame.Settings // of the server; nil before
	acked    bool            // by the client
}

func newConn(w *Watcher, id int) *conn {
	c := &conn{w: w, id: id, calls: map[uint32]*Call{}, gone: map[uint32]bool{}}
	for _, dir := range []proxy.Direction{proxy.ToServer, proxy.ToClient} {
		c.readers[dir] = &reader{
			w:    w,
			take: func(at time.Time, h frame.Header, body []byte, whole bool) { c.frame(at, dir, h, body, whole) },
			lose: func(at time.Time, b []byte) { c.noFrame(at, dir, b) },
		}
	}
	return c
}

func (c *conn) reader(dir proxy.Direction) *reader { return c.readers[dir] }

// sorted returns the open calls in the order of their beginning.
func (c *conn) sorted() (calls []*Call) {
	for _, call := range c.calls {
		calls = append(calls, call)
	}
	sort.Slice(calls, func(i, j int) bool { return calls[i].Number < calls[j].Number })
	return calls
}

// gap goes on after bytes that were not copied.
func (c *conn) gap(it *proxy.Item, e *Event) {
	c.blind = true
	c.reader(it.Dir).skip()
	e.Kind, e.Sided = KindGap, true
	e.Text = fmt.Sprintf("the output is too slow: %d bytes passed unseen", it.Lost)
	c.w.Emit(e)
}

// noFrame is called once in a direction, for bytes that are no frames. They pass all the
// same.
func (c *conn) noFrame(at time.Time, dir proxy.Direction, b []byte) {
	c.blind = true
	text := fmt.Sprintf("no frames of ttrpc: %.24q...", b)
	if name := frame.Foreign(b, dir == proxy.ToClient); name != "" {
		text = fmt.Sprintf("no frames of ttrpc but %s: %.24q...", name, b)
	}
	c.w.Emit(&Event{
		Kind: KindUnknown, Time: at, Conn: c.id, Dir: dir, Sided: true, Text: text,
		Violations: []string{"the first byte of a length is not zero"},
	})
}

// end is for one direction that ends.
func (c *conn) end(it *proxy.Item, e *Event) {
	e.Kind, e.Sided = KindEnd, true
	switch it.Kind {
	case proxy.Ended:
		e.Text = "sends no more"
	case proxy.Reset:
		e.Text = "reset: " + it.Text
	case proxy.Broken:
		e.Text = "the receiver is gone: " + it.Text
	}
	if partial := c.reader(it.Dir).partial(); partial != "" {
		e.violation("the connection ends within a frame: " + partial)
	}
	c.w.Emit(e)
}

// close is for the end of the connection.
func (c *conn) close(it *proxy.Item, e *Event) {
	e.Kind, e.Text = KindEnd, "closed"
	if open := c.sorted(); len(open) > 0 {
		e.Text = fmt.Sprintf("closed, with %d calls without a final frame: %s", len(open), names(open))
	}
	for _, call := range c.sorted() {
		c.finish(call, it.Time, codeLost)
		c.w.Emit(&Event{Kind: KindEnd, Time: it.Time, Conn: c.id, Call: call, Ends: true, Text: "the connection ended before the final frame"})
	}
	c.reader(proxy.ToServer).drop()
	c.reader(proxy.ToClient).drop()
	delete(c.w.conns, c.id)
	c.w.Emit(e)
}

func names(calls []*Call) string {
	var texts []string
	for i, call := range calls {
		if i == 5 {
			texts = append(texts, "...")
			break
		}
		texts = append(texts, fmt.Sprintf("%s on stream %d", call.Name(), call.Stream))
	}
	return strings.Join(texts, ", ")
}

// frame goes on by one frame. body is nil if the frame is not whole.
func (c *conn) frame(at time.Time, dir proxy.Direction, h frame.Header, body []byte, whole bool) {
	e := &Event{Kind: KindFrame, Time: at, Conn: c.id, Dir: dir, Sided: true, Header: h}
	if !whole {
		e.note("too long to be looked into")
	}
	if limit := c.limit(dir); int(h.Length) > limit {
		e.violation(fmt.Sprintf("longer than the limit of %d bytes", limit))
	}
	switch {
	case h.IsExtension() && (c.offered != nil || h.Type == frame.TypeSettings):
		c.extension(e, body, whole)
	case dir == proxy.ToServer:
		c.fromClient(e, body, whole)
	default:
		c.fromServer(e, body, whole)
	}
	c.w.Emit(e)
}

// limit returns the longest payload in a direction: that of the receiver's settings once
// the sender has them.
func (c *conn) limit(dir proxy.Direction) int {
	switch {
	case dir == proxy.ToServer && c.acked && c.settings != nil:
		return c.settings.Limit()
	case dir == proxy.ToClient && c.settings != nil && c.offered != nil:
		return c.offered.Limit()
	}
	return frame.DefaultMaxMessage
}

func (c *conn) finish(call *Call, at time.Time, code codeOfCall) {
	call.End, call.Code = at, code
	if c.calls[call.Stream] == call {
		delete(c.calls, call.Stream)
	}
}
