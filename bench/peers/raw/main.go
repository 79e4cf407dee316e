// Command raw is the floor of the benchmark: a length and so many bytes on the
// socket, one call at a time on a connection, with nothing around them. It reads
// and writes on the goroutine that waits, into buffers it keeps.
package main

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync"

	"github.com/containerd/ttrpc/bench/workload"
)

func main() {
	workload.Main(workload.Peer{Serve: serve, Dial: dial})
}

func serve(l net.Listener, _ workload.Options) error {
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer c.Close()
			f := framed{Conn: c}
			for {
				b, err := f.read()
				if err != nil {
					return
				}
				if f.write(b) != nil {
					return
				}
			}
		}()
	}
}

// framed reads and writes frames of one connection.
type framed struct {
	net.Conn
	// in and out hold a frame with its length in front. A small one is read in
	// one system call: nothing can follow it before it is answered.
	in, out []byte
}

const (
	lengthSize = 4
	smallSize  = 4096
)

// read returns a frame, which is valid until the next read.
func (f *framed) read() ([]byte, error) {
	if f.in == nil {
		f.in = make([]byte, lengthSize+smallSize)
	}
	n, err := io.ReadAtLeast(f.Conn, f.in, lengthSize)
	if err != nil {
		return nil, err
	}
	size := lengthSize + int(binary.BigEndian.Uint32(f.in))
	if size > len(f.in) {
		f.in = append(f.in[:n], make([]byte, size-n)...)
	}
	if _, err := io.ReadFull(f.Conn, f.in[min(n, size):size]); err != nil {
		return nil, err
	}
	return f.in[lengthSize:size], nil
}

func (f *framed) write(b []byte) error {
	f.out = binary.BigEndian.AppendUint32(f.out[:0], uint32(len(b)))
	if len(b) > smallSize {
		// One writev in place of a copy.
		_, err := (&net.Buffers{f.out, b}).WriteTo(f.Conn)
		return err
	}
	f.out = append(f.out, b...)
	_, err := f.Write(f.out)
	return err
}

type conn struct {
	mu sync.Mutex // held during a call
	framed
	streaming bool // set for good by the first stream
}

var errOneAtATime = workload.Unsupported("one caller or stream on a connection")

func dial(addr string, o workload.Options) (workload.Conn, error) {
	if o.Real {
		return nil, workload.Unsupported("no metadata, no deadlines")
	}
	c, err := o.Connection.Dial(addr)
	if err != nil {
		return nil, err
	}
	return &conn{framed: framed{Conn: c}}, nil
}

// Unary implements workload.Conn.
func (c *conn) Unary(method workload.Method, payload []byte) workload.Call {
	return func(context.Context) ([]byte, error) {
		if method != workload.Echo {
			return nil, workload.Unsupported("no methods but echo")
		}
		if c.streaming || !c.mu.TryLock() {
			return nil, errOneAtATime
		}
		defer c.mu.Unlock()
		if err := c.write(payload); err != nil {
			return nil, err
		}
		return c.read()
	}
}

// Stream implements workload.Conn. A round of a bidirectional stream is the
// same as a call.
func (c *conn) Stream(_ context.Context, kind workload.StreamKind, payload []byte) (workload.Stream, error) {
	if kind != workload.BidiStream {
		return nil, workload.Unsupported("no streams")
	}
	if c.streaming {
		return nil, errOneAtATime
	}
	c.streaming = true
	return &stream{c, payload}, nil
}

type stream struct {
	c       *conn
	payload []byte
}

func (s *stream) Send() error           { return s.c.write(s.payload) }
func (s *stream) Recv() ([]byte, error) { return s.c.read() }
func (s *stream) CloseSend() error      { return errors.New("a raw stream has no end") }
