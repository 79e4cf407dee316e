package ttrpc

import (
	"fmt"
	"net"
	"sync"
	"time"
)

// fault is a kind of fault at one byte of a connection.
type fault uint8

const (
	faultNone    fault = iota
	faultSplit         // a read or write ends there
	faultBytes         // from there on, each read or write has one byte
	faultDelay         // a pause precedes the byte
	faultStall         // reading or writing waits until the connection is closed
	faultCorrupt       // the byte has another value
	faultReset         // the connection is reset, in both directions
	faultEnd           // the direction ends; the reader gets EOF
	faultError         // reading or writing fails with ENOMEM
)

var faultNames = [...]string{"none", "split", "bytes", "delay", "stall", "corrupt", "reset", "end", "error"}

func (f fault) String() string { return faultNames[f] }

// harmless reports whether everything must succeed in spite of the fault.
func (f fault) harmless() bool { return f <= faultDelay }

// faultConn is a connection in memory with a fault in one direction, at the byte with index
// at. Equal fields make equal faults.
type faultConn struct {
	*memConn
	kind fault
	read bool // the fault is in reading
	at   int
	mask byte // for faultCorrupt

	mu     sync.Mutex
	nRead  int
	nWrote int

	once   sync.Once
	closed chan struct{} // closed by Close
}

func newFaultConn(c *memConn, kind fault, read bool, at int, mask byte) *faultConn {
	return &faultConn{memConn: c, kind: kind, read: read, at: at, mask: mask, closed: make(chan struct{})}
}

func (c *faultConn) Close() error {
	c.once.Do(func() { close(c.closed) })
	return c.memConn.Close()
}

// before applies the fault before byte n. It returns the number of bytes that may follow,
// at most want, or an error.
func (c *faultConn) before(n, want int) (int, error) {
	if n < c.at {
		return min(want, c.at-n), nil // up to the fault, and no further
	}
	switch {
	case c.kind == faultBytes:
		return min(want, 1), nil
	case n > c.at && c.kind != faultEnd && c.kind != faultError && c.kind != faultStall:
		return want, nil
	}
	switch c.kind {
	case faultDelay:
		time.Sleep(50 * time.Millisecond)
	case faultStall:
		<-c.closed
		return 0, net.ErrClosed
	case faultReset:
		c.in.fail(errConnReset, errConnReset)
		c.out.fail(errConnReset, errConnReset)
		c.in.discard()
		c.out.discard()
		return 0, errConnReset
	case faultEnd:
		if !c.read {
			c.CloseWrite()
			return 0, errPipe
		}
		c.in.fail(nil, errPipe)
		c.in.discard()
		c.failRead(fmt.Errorf("read: %w", net.ErrClosed))
	case faultError:
		return 0, &net.OpError{Op: "io", Err: errNoMemory}
	}
	return want, nil
}

func (c *faultConn) Read(p []byte) (int, error) {
	c.mu.Lock()
	n, read := c.nRead, c.read
	c.mu.Unlock()
	want := len(p)
	if read {
		var err error
		if want, err = c.before(n, want); err != nil {
			return 0, err
		}
	}
	got, err := c.memConn.Read(p[:want])
	if read && c.kind == faultCorrupt && n <= c.at && c.at < n+got {
		p[c.at-n] ^= c.mask
	}
	c.mu.Lock()
	c.nRead += got
	c.mu.Unlock()
	return got, err
}

func (c *faultConn) Write(p []byte) (total int, err error) {
	for total < len(p) {
		c.mu.Lock()
		n := c.nWrote
		c.mu.Unlock()
		want := len(p) - total
		if !c.read {
			if want, err = c.before(n, want); err != nil {
				return total, err
			}
		}
		b := p[total : total+want]
		if !c.read && c.kind == faultCorrupt && n <= c.at && c.at < n+want {
			b = append([]byte(nil), b...)
			b[c.at-n] ^= c.mask
		}
		wrote, err := c.memConn.Write(b)
		total += wrote
		c.mu.Lock()
		c.nWrote += wrote
		c.mu.Unlock()
		if err != nil {
			return total, err
		}
	}
	return total, nil
}
