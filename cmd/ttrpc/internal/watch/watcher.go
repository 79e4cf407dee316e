package watch

import (
	"fmt"
	"sort"
	"time"

	"github.com/containerd/ttrpc/cmd/ttrpc/internal/proxy"
)

// A Watcher turns the items of a proxy's queue into events. One goroutine uses it.
type Watcher struct {
	// Emit gets each event, which it may keep.
	Emit func(*Event)

	// Types translates payloads to JSON; nil for not.
	Types Types

	conns map[int]*conn
	calls int // that have begun
	held  int // bytes of frames that have not come in whole, of all connections
}

// Types translates messages.
type Types interface {
	// JSON returns the message of a method in one line, or nil if its type is not known.
	JSON(service, method string, dir proxy.Direction, payload []byte) []byte
}

// Take goes on by one item.
func (w *Watcher) Take(it *proxy.Item) {
	e := &Event{Time: it.Time, Conn: it.Conn, Dir: it.Dir, Text: it.Text}
	if it.Kind == proxy.Trouble {
		e.Kind = KindTrouble
		w.Emit(e)
		return
	}
	c := w.conn(it.Conn)
	switch it.Kind {
	case proxy.Opened:
		e.Kind = KindOpen
		w.Emit(e)
	case proxy.Bytes:
		c.reader(it.Dir).feed(it.Time, it.Bytes)
	case proxy.Gap:
		c.gap(it, e)
	case proxy.Closed:
		c.close(it, e)
	default:
		c.end(it, e)
	}
}

// Missing notes that the queue had no room for n items.
func (w *Watcher) Missing(n int) {
	for _, c := range w.conns {
		c.blind = true
	}
	w.Emit(&Event{Kind: KindGap, Time: time.Now(), Text: fmt.Sprintf("the output is too slow: %d events are not shown", n)})
}

func (w *Watcher) conn(id int) *conn {
	c := w.conns[id]
	if c == nil {
		c = newConn(w, id)
		if w.conns == nil {
			w.conns = map[int]*conn{}
		}
		w.conns[id] = c
	}
	return c
}

// Running emits an event for each call that has had no final frame for d, once.
func (w *Watcher) Running(now time.Time, d time.Duration) {
	for _, c := range w.sorted() {
		for _, call := range c.sorted() {
			if age := now.Sub(call.Begin); age >= d && !call.reported {
				call.reported = true
				w.Emit(&Event{Kind: KindRunning, Time: now, Conn: c.id, Call: call, Text: fmt.Sprintf("no final frame after %v", age.Round(time.Millisecond))})
			}
		}
	}
}

// Open returns the calls that have no final frame yet, in the order of their beginning.
func (w *Watcher) Open() (open []*Call) {
	for _, c := range w.sorted() {
		open = append(open, c.sorted()...)
	}
	return open
}

func (w *Watcher) sorted() (all []*conn) {
	for _, c := range w.conns {
		all = append(all, c)
	}
	sort.Slice(all, func(i, j int) bool { return all[i].id < all[j].id })
	return all
}
