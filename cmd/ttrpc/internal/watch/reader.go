package watch

import (
	"fmt"
	"time"

	"github.com/containerd/ttrpc/internal/frame"
)

const (
	// maxBody is the longest payload that is looked into. Of a longer one the header is
	// all that is shown.
	maxBody = frame.DefaultMaxMessage

	// maxHeld limits the memory of frames that have not come in whole, of all
	// connections together.
	maxHeld = 64 << 20
)

// A reader puts the frames of one direction together.
type reader struct {
	w    *Watcher
	take func(at time.Time, h frame.Header, body []byte, whole bool)
	lose func(at time.Time, b []byte) // gets the first bytes that are no frame

	header [frame.HeaderLength]byte
	have   int // bytes of the header
	rest   int // bytes of the payload that have not come
	begun  time.Time
	body   []byte
	whole  bool // the body has all bytes so far
	lost   bool // no more frames come
}

// feed goes on by b. A frame that is in b in whole is not copied.
func (r *reader) feed(at time.Time, b []byte) {
	for len(b) > 0 && !r.lost {
		if r.have < len(r.header) {
			b = b[r.readHeader(at, b):]
			if r.have < len(r.header) {
				return
			}
			if r.lost = frame.Parse(r.header[:]).Length > frame.LargestMessage; r.lost {
				r.lose(at, append(r.header[:len(r.header):len(r.header)], b...))
				return
			}
			r.rest = int(frame.Parse(r.header[:]).Length)
			r.whole = r.rest <= maxBody
		}
		n := min(r.rest, len(b))
		if r.rest == n && len(r.body) == 0 && r.whole {
			r.finish(b[:n])
		} else {
			r.hold(b[:n])
			if r.rest -= n; r.rest == 0 {
				r.finish(r.body)
			}
		}
		b = b[n:]
	}
}

func (r *reader) readHeader(at time.Time, b []byte) int {
	if r.have == 0 {
		r.begun = at
	}
	n := copy(r.header[r.have:], b)
	r.have += n
	return n
}

func (r *reader) hold(b []byte) {
	if r.whole && r.w.held+len(b) > maxHeld {
		r.whole = false
		r.drop()
	}
	if r.whole {
		r.body = append(r.body, b...)
		r.w.held += len(b)
	}
}

// drop forgets the body.
func (r *reader) drop() {
	r.w.held -= len(r.body)
	r.body = nil
}

func (r *reader) finish(body []byte) {
	h, whole, at := frame.Parse(r.header[:]), r.whole, r.begun
	r.have, r.rest = 0, 0
	if !whole {
		body = nil
	}
	r.take(at, h, body, whole)
	r.drop()
}

// skip begins anew, at the beginning of a frame.
func (r *reader) skip() {
	r.drop()
	r.have, r.rest = 0, 0
}

// partial describes the bytes of a frame that has not come in whole; "" for none.
func (r *reader) partial() string {
	switch {
	case r.lost || r.have == 0:
		return ""
	case r.have < len(r.header):
		return fmt.Sprintf("%d bytes of a header", r.have)
	}
	h := frame.Parse(r.header[:])
	return fmt.Sprintf("%d of %d bytes of a %v frame on stream %d", int(h.Length)-r.rest, h.Length, h.Type, h.ID)
}
