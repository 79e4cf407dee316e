package proxy

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"sync"
	"syscall"
	"testing"
)

// A faultConn has a fault at byte at of its reads or writes.
type faultConn struct {
	net.Conn
	kind string
	read bool
	mu   *sync.Mutex
	at   *int // bytes until then
}

func (c *faultConn) before(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case *c.at > 0:
		n := min(len(p), *c.at)
		*c.at -= n
		return n, nil
	case c.kind == "split":
		return max(1, len(p)/2), nil
	case c.kind == "bytes":
		return 1, nil
	case c.kind == "reset":
		c.Conn.Close()
		return 0, syscall.ECONNRESET
	}
	return 0, fmt.Errorf("no memory")
}

func (c *faultConn) Read(p []byte) (int, error) {
	if c.read {
		n, err := c.before(p)
		if err != nil {
			return 0, err
		}
		p = p[:n]
	}
	return c.Conn.Read(p)
}

func (c *faultConn) Write(p []byte) (total int, err error) {
	for total < len(p) {
		n := len(p) - total
		if !c.read {
			if n, err = c.before(p[total:]); err != nil {
				return total, err
			}
		}
		wrote, err := c.Conn.Write(p[total : total+n])
		total += wrote
		if err != nil {
			return total, err
		}
	}
	return total, nil
}

// With faults in either end of the proxy the bytes that arrive are those sent, from the
// first on, and both sides see an end. Harmless faults change nothing.
func TestFaults(t *testing.T) {
	question, answer := bytes.Repeat([]byte("question"), 1500), bytes.Repeat([]byte("answer"), 2000)
	for _, kind := range []string{"split", "bytes", "reset", "error"} {
		for _, side := range []Direction{ToServer, ToClient} {
			for _, read := range []bool{true, false} {
				for _, at := range []int{0, 1, 9, 10, 11, 9000} {
					t.Run(fmt.Sprintf("%s/%v/%v/%d", kind, side, read, at), func(t *testing.T) {
						r := newRig(t, "unix", func(dir Direction, c net.Conn) net.Conn {
							if dir != side {
								return c
							}
							return &faultConn{Conn: c, kind: kind, read: read, mu: &sync.Mutex{}, at: &at}
						})
						atServer, atClient := exchange(r, question, answer)
						harmless := kind == "split" || kind == "bytes"
						check(t, "the server", atServer, question, harmless)
						check(t, "the client", atClient, answer, harmless)
					})
				}
			}
		}
	}
}

// exchange sends both ways and returns everything that arrives until both have ended.
func exchange(r *rig, question, answer []byte) (atServer, atClient []byte) {
	var wg sync.WaitGroup
	side := func(c net.Conn, out []byte, in *[]byte) {
		wg.Add(2)
		go func() {
			defer wg.Done()
			c.Write(out)
			closeWrite(c)
		}()
		go func() {
			defer wg.Done()
			*in, _ = io.ReadAll(c)
		}()
	}
	side(r.client, question, &atClient)
	side(r.server, answer, &atServer)
	wg.Wait()
	return atServer, atClient
}

func check(t *testing.T, who string, got, want []byte, all bool) {
	t.Helper()
	if !bytes.HasPrefix(want, got) || all && len(got) != len(want) {
		t.Errorf("%s has got %d bytes of %d, or others", who, len(got), len(want))
	}
}

// Arbitrary bytes pass unchanged.
func FuzzBytes(f *testing.F) {
	f.Add([]byte("question"), []byte("answer"), uint8(3))
	f.Add(testFrame(20), append(testFrame(0), "\xff\xff"...), uint8(200))
	f.Fuzz(func(t *testing.T, question, answer []byte, piece uint8) {
		r := newRig(t, "unix", func(_ Direction, c net.Conn) net.Conn { return &pieces{c, 1 + int(piece)} })
		atServer, atClient := exchange(r, question, answer)
		check(t, "the server", atServer, question, true)
		check(t, "the client", atClient, answer, true)
		copied := map[Direction][]byte{}
		for {
			items, _, _ := r.tap.Take()
			ends := 0
			for _, it := range items {
				copied[it.Dir] = append(copied[it.Dir], it.Bytes...)
				if it.Kind == Closed {
					ends++
				}
			}
			if ends > 0 {
				break
			}
			<-r.tap.C()
		}
		check(t, "the copy", copied[ToServer], question, true)
		check(t, "the other copy", copied[ToClient], answer, true)
	})
}

// pieces reads a few bytes at a time.
type pieces struct {
	net.Conn
	n int
}

func (p *pieces) Read(b []byte) (int, error) { return p.Conn.Read(b[:min(len(b), p.n)]) }

func (p *pieces) CloseWrite() error { return p.Conn.(*net.UnixConn).CloseWrite() }

func (c *faultConn) CloseWrite() error { return c.Conn.(*net.UnixConn).CloseWrite() }

func (c *faultConn) CloseRead() error { return c.Conn.(*net.UnixConn).CloseRead() }
