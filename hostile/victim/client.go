package main

import (
	"context"
	"errors"
	"net"
	"sort"
	"sync"
	"time"

	"github.com/containerd/ttrpc"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// callLimit is the deadline of a call to the evil server.
const callLimit = 500 * time.Millisecond

// A client calls an evil server and, over another connection, an honest one.
type client struct {
	mu      sync.Mutex
	evil    *ttrpc.Client // the present one; nil before the first
	closed  bool
	times   []time.Duration // of calls to the honest server
	overrun time.Duration
}

func call(evil, honest string) victim {
	c := &client{}
	go c.callHonest(honest)
	go c.callEvil(evil)
	return c
}

func (c *client) close() {
	c.mu.Lock()
	c.closed = true
	evil := c.evil
	c.mu.Unlock()
	if evil != nil {
		evil.Close()
	}
}

func (c *client) observe(f *figures) {
	c.mu.Lock()
	defer c.mu.Unlock()
	sort.Slice(c.times, func(i, j int) bool { return c.times[i] < c.times[j] })
	f.Calls, f.Overrun = len(c.times), c.overrun
	if n := len(c.times); n > 0 {
		f.P99 = c.times[n*99/100]
	}
}

// callHonest makes a call each two milliseconds.
func (c *client) callHonest(socket string) {
	conn := dial(socket)
	client := ttrpc.NewClient(conn)
	for {
		start := time.Now()
		if err := echo(context.Background(), client); err != nil {
			panic(err) // the driver finds that the victim died
		}
		took := time.Since(start)
		c.mu.Lock()
		c.times = append(c.times, took)
		c.mu.Unlock()
		time.Sleep(2 * time.Millisecond)
	}
}

// callEvil uses one connection after another, each until it ends.
func (c *client) callEvil(socket string) {
	for {
		client := ttrpc.NewClient(dial(socket))
		c.mu.Lock()
		c.evil = client
		closed := c.closed
		c.mu.Unlock()
		if closed {
			client.Close()
			return
		}
		var callers sync.WaitGroup
		for i := 0; i < 4; i++ {
			callers.Add(2)
			go func() { defer callers.Done(); c.callUntilClosed(client) }()
			go func() { defer callers.Done(); c.streamUntilClosed(client) }()
		}
		callers.Wait()
		client.Close()
		time.Sleep(5 * time.Millisecond)
	}
}

func (c *client) callUntilClosed(client *ttrpc.Client) {
	for {
		ctx, cancel := context.WithTimeout(context.Background(), callLimit)
		start := time.Now()
		err := echo(ctx, client)
		c.note(time.Since(start) - callLimit)
		cancel()
		if errors.Is(err, ttrpc.ErrClosed) {
			return
		}
	}
}

// streamUntilClosed opens streams whose receiver is slow.
func (c *client) streamUntilClosed(client *ttrpc.Client) {
	desc := &ttrpc.StreamDesc{StreamingServer: true}
	for {
		ctx, cancel := context.WithTimeout(context.Background(), callLimit)
		start := time.Now()
		stream, err := client.NewStream(ctx, desc, service, "Flood", wrapperspb.Bytes(nil))
		for err == nil {
			time.Sleep(10 * time.Millisecond)
			err = stream.RecvMsg(&wrapperspb.BytesValue{})
		}
		c.note(time.Since(start) - callLimit)
		cancel()
		if errors.Is(err, ttrpc.ErrClosed) {
			return
		}
	}
}

// note notes how long a call went on after its deadline.
func (c *client) note(overrun time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if overrun > c.overrun {
		c.overrun = overrun
	}
}

func echo(ctx context.Context, client *ttrpc.Client) error {
	return client.Call(ctx, service, "Echo", wrapperspb.Bytes([]byte("from the victim")), &wrapperspb.BytesValue{})
}

// dial waits for the server to listen.
func dial(socket string) net.Conn {
	for {
		conn, err := net.Dial("unix", socket)
		if err == nil {
			return conn
		}
		time.Sleep(5 * time.Millisecond)
	}
}
