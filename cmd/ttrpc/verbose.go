package main

import (
	"fmt"
	"io"
	"maps"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/internal/frame"
)

// callLog prints the events of a call with -v, and nothing without.
type callLog struct {
	start time.Time
	on    bool

	mu  sync.Mutex
	out io.Writer
}

func newCallLog(out io.Writer, on bool) *callLog {
	return &callLog{start: time.Now(), on: on, out: out}
}

// printf prints a line with the time since the start.
func (l *callLog) printf(format string, args ...any) {
	if !l.on {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	elapsed := time.Since(l.start).Round(time.Microsecond)
	fmt.Fprintf(l.out, "* %10v  %s\n", elapsed, fmt.Sprintf(format, args...))
}

// metadata prints the metadata of a response.
func (l *callLog) metadata(kind string, md ttrpc.MD) {
	for _, key := range slices.Sorted(maps.Keys(md)) {
		l.printf("%s %s: %q", kind, key, md[key])
	}
}

// conn returns nc, or a connection around it that prints the frames.
func (l *callLog) conn(nc net.Conn) net.Conn {
	if !l.on {
		return nc
	}
	return &loggedConn{Conn: nc, sent: headers{log: l, mark: ">"}, received: headers{log: l, mark: "<"}}
}

// loggedConn prints the headers of the frames that pass. The library reads with one
// goroutine at a time, and writes with one.
type loggedConn struct {
	net.Conn
	sent, received headers
}

func (c *loggedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.received.see(p[:n])
	return n, err
}

func (c *loggedConn) Write(p []byte) (int, error) {
	c.sent.see(p)
	return c.Conn.Write(p)
}

// headers finds the headers in the bytes of one direction.
type headers struct {
	log    *callLog
	mark   string
	header []byte // the part of the next header that has come
	skip   int    // the bytes before it
}

func (h *headers) see(p []byte) {
	for len(p) > 0 {
		if h.skip > 0 {
			n := min(h.skip, len(p))
			h.skip -= n
			p = p[n:]
			continue
		}
		n := min(frame.HeaderLength-len(h.header), len(p))
		h.header = append(h.header, p[:n]...)
		p = p[n:]
		if len(h.header) == frame.HeaderLength {
			f := frame.Parse(h.header)
			h.log.printf("%s %-9v stream %d, flags %#x, %d bytes", h.mark, f.Type, f.ID, f.Flags, f.Length)
			h.header, h.skip = h.header[:0], int(f.Length)
		}
	}
}
