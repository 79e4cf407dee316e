// Package proxy forwards connections byte by byte, and gives copies of the bytes to a
// queue. Nothing that happens to the copies changes, holds up or reorders the bytes
// themselves.
package proxy

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

// A Direction is one of the two directions of a connection.
type Direction uint8

const (
	ToServer Direction = iota
	ToClient
)

func (d Direction) String() string {
	if d == ToServer {
		return "to server"
	}
	return "to client"
}

// readSize is the most that one read takes, and the memory of a direction of a connection.
const readSize = 32 << 10

// A Proxy connects each client to a server of its own.
type Proxy struct {
	Dial func(ctx context.Context) (net.Conn, error)
	Tap  *Queue

	wg    sync.WaitGroup // for links
	mu    sync.Mutex
	next  int
	links map[*link]bool
}

// Serve accepts clients until the listener is closed, and then ends all connections. ctx
// is for connecting to the server.
func (p *Proxy) Serve(ctx context.Context, l net.Listener) error {
	ctx, cancel := context.WithCancel(ctx)
	defer p.wg.Wait()
	defer p.closeLinks()
	defer cancel()
	for {
		client, err := l.Accept()
		switch {
		case errors.Is(err, net.ErrClosed) || ctx.Err() != nil:
			return nil
		case err != nil: // as when there are too many descriptors: some will be closed
			p.Tap.note(Item{Kind: Trouble, Text: "accept: " + err.Error()})
			wait(ctx, 50*time.Millisecond)
			continue
		}
		p.wg.Add(1)
		go p.serve(ctx, client)
	}
}

func wait(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// serve is the goroutine of one client, started by Serve. It ends with the connection.
func (p *Proxy) serve(ctx context.Context, client net.Conn) {
	defer p.wg.Done()
	defer client.Close()
	id := p.number()
	server, err := p.Dial(ctx)
	if err != nil {
		p.Tap.note(Item{Conn: id, Kind: Trouble, Text: err.Error()})
		return
	}
	defer server.Close()
	l := &link{client: client, server: server}
	if !p.add(ctx, l) {
		return
	}
	defer p.remove(l)
	p.Tap.note(Item{Conn: id, Kind: Opened})
	l.run(id, p.Tap)
	p.Tap.note(Item{Conn: id, Kind: Closed})
}

func (p *Proxy) number() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.next++
	return p.next
}

func (p *Proxy) add(ctx context.Context, l *link) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if ctx.Err() != nil {
		return false
	}
	if p.links == nil {
		p.links = map[*link]bool{}
	}
	p.links[l] = true
	return true
}

func (p *Proxy) remove(l *link) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.links, l)
}

func (p *Proxy) closeLinks() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for l := range p.links {
		l.close()
	}
}

// A link is a client and its connection to the server.
type link struct{ client, server net.Conn }

func (l *link) close() {
	l.client.Close()
	l.server.Close()
}

// run forwards both directions and returns when both have ended.
func (l *link) run(id int, tap *Queue) {
	var wg sync.WaitGroup
	wg.Add(1)
	go func() { // the server's direction; it ends as the other one does
		defer wg.Done()
		l.forward(&copier{tap: tap, conn: id, dir: ToClient}, l.server, l.client)
	}()
	l.forward(&copier{tap: tap, conn: id, dir: ToServer}, l.client, l.server)
	wg.Wait()
}

// forward passes on bytes until either side ends, and then passes on the end: that of the
// sender by closing to for writing, or by a reset if it was one; that of the receiver by
// refusing more from the sender.
func (l *link) forward(c *copier, from, to net.Conn) {
	buf := make([]byte, readSize)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			c.bytes(buf[:n])
			_, writeErr := to.Write(buf[:n])
			c.tap.wake()
			if writeErr != nil {
				c.end(Broken, writeErr)
				closeRead(from)
				return
			}
		}
		switch {
		case err == nil:
		case errors.Is(err, io.EOF):
			c.end(Ended, nil)
			closeWrite(to)
			return
		case errors.Is(err, net.ErrClosed): // by the other direction, or by Serve
			l.close()
			return
		default:
			c.end(Reset, err)
			reset(to)
			l.close()
			return
		}
	}
}

// closeWrite ends one direction. A connection that cannot do that alone is closed: its
// reader cannot have meant less.
func closeWrite(c net.Conn) {
	if half, ok := c.(interface{ CloseWrite() error }); ok {
		half.CloseWrite() // fails only when the connection has ended
		return
	}
	c.Close()
}

// closeRead makes writes of the peer fail, on unix sockets. TCP has no such message.
func closeRead(c net.Conn) {
	if half, ok := c.(interface{ CloseRead() error }); ok {
		half.CloseRead()
	}
}

// reset closes a connection so that its peer sees a reset. On a unix socket that happens
// when bytes of the peer have not been read; otherwise the peer sees an end.
func reset(c net.Conn) {
	if tcp, ok := c.(interface{ SetLinger(sec int) error }); ok {
		tcp.SetLinger(0)
	}
	c.Close()
}
