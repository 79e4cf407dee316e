package proxy

import (
	"sync"
	"time"

	"github.com/containerd/ttrpc/internal/frame"
)

// A Kind is the kind of an Item.
type Kind uint8

const (
	Opened  Kind = iota // a client has come, and the server has taken its connection
	Bytes               // bytes have been read, in Item.Bytes
	Gap                 // bytes were forwarded but not copied, Item.Lost of them; a frame begins after them
	Ended               // the sender has closed its direction
	Reset               // the sender has reset the connection
	Broken              // the receiver takes no more bytes
	Closed              // both directions have ended
	Trouble             // a client could not be served
)

// An Item is one thing that happened on a connection. Bytes are valid until the next call
// of Take.
type Item struct {
	Conn  int // from 1; 0 for none
	Dir   Direction
	Kind  Kind
	Time  time.Time
	Bytes []byte
	Lost  int
	Text  string // the reason of an end

	from, to int // where Bytes is in the data of its batch
}

const (
	// maxQueued is the most bytes of copies that wait to be taken.
	maxQueued = 16 << 20

	// maxItems is the most items that wait to be taken.
	maxItems = 1 << 18
)

// A Queue has copies of the bytes that pass through a proxy, in the order in which they
// were read. Senders never wait: beyond the limits of memory they drop copies. One
// goroutine takes.
type Queue struct {
	signal chan struct{} // sent by wake, received by Wait

	mu      sync.Mutex
	items   []Item
	data    []byte
	missing int  // items that did not fit
	closed  bool // no more comes

	spare batch // of the taker: its memory for the next turn
}

type batch struct {
	items []Item
	data  []byte
}

// NewQueue returns an empty queue.
func NewQueue() *Queue { return &Queue{signal: make(chan struct{}, 1)} }

// C is sent to when there is something to take.
func (q *Queue) C() <-chan struct{} { return q.signal }

// Take returns everything that waits, how many items were lost, and whether more may come.
func (q *Queue) Take() (items []Item, missing int, more bool) {
	q.mu.Lock()
	taken := batch{q.items, q.data}
	q.items, q.data = q.spare.items[:0], q.spare.data[:0]
	missing, q.missing = q.missing, 0
	more = !q.closed
	q.mu.Unlock()
	for i := range taken.items {
		it := &taken.items[i]
		it.Bytes = taken.data[it.from:it.to:it.to]
	}
	if cap(taken.data) > 1<<20 { // after a burst
		q.spare = batch{items: taken.items}
	} else {
		q.spare = taken
	}
	return taken.items, missing, more
}

// Close says that nothing more comes.
func (q *Queue) Close() {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	q.wake()
}

func (q *Queue) wake() {
	select {
	case q.signal <- struct{}{}:
	default:
	}
}

// put adds an item with a copy of b. It reports false when there is no room.
func (q *Queue) put(it Item, b []byte) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.data)+len(b) > maxQueued || len(q.items) >= maxItems {
		return false
	}
	it.Time = time.Now() // under the lock, so that the times rise
	it.from = len(q.data)
	q.data = append(q.data, b...)
	it.to = len(q.data)
	q.items = append(q.items, it)
	return true
}

// note adds an item without bytes.
func (q *Queue) note(it Item) {
	if !q.put(it, nil) {
		q.mu.Lock()
		q.missing++
		q.mu.Unlock()
	}
	q.wake()
}

// A copier copies the bytes of one direction to a queue. When there is no room it skips to
// the beginning of a frame.
type copier struct {
	tap  *Queue
	conn int
	dir  Direction

	lost  int // bytes skipped since the last copy
	edges edges
}

func (c *copier) bytes(b []byte) {
	begin := c.edges.next(b)
	it := Item{Conn: c.conn, Dir: c.dir, Kind: Bytes}
	if c.lost > 0 {
		if begin < 0 || !c.tap.put(Item{Conn: c.conn, Dir: c.dir, Kind: Gap, Lost: c.lost + begin}, nil) {
			c.lost += len(b)
			return
		}
		c.lost, b = 0, b[begin:]
	}
	if !c.tap.put(it, b) {
		c.lost += len(b)
	}
}

func (c *copier) end(kind Kind, err error) {
	if c.lost > 0 {
		c.tap.note(Item{Conn: c.conn, Dir: c.dir, Kind: Gap, Lost: c.lost})
	}
	it := Item{Conn: c.conn, Dir: c.dir, Kind: kind}
	if err != nil {
		it.Text = err.Error()
	}
	c.tap.note(it)
}

// edges follows where the frames of a direction begin.
type edges struct {
	header [frame.HeaderLength]byte
	have   int  // bytes of a header that has not come in whole
	rest   int  // bytes of a payload that have not come
	lost   bool // the bytes are no frames
}

// next goes on by b, and returns where the first frame that begins in b does, or -1.
func (e *edges) next(b []byte) (begin int) {
	begin = -1
	for i := 0; i < len(b) && !e.lost; {
		if e.rest == 0 && e.have == 0 && begin < 0 {
			begin = i
		}
		if e.rest > 0 {
			n := min(e.rest, len(b)-i)
			e.rest -= n
			i += n
			continue
		}
		n := copy(e.header[e.have:], b[i:])
		e.have += n
		i += n
		if e.have == len(e.header) {
			h := frame.Parse(e.header[:])
			e.have, e.rest, e.lost = 0, int(h.Length), h.Length > frame.LargestMessage
		}
	}
	return begin
}
