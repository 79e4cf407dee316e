package ttrpc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand"
	"runtime"
	"strings"
	"testing"
)

// A call has its room when writing fails, and enters the table after the lost calls were
// taken out of it. It returns at once, since no response can arrive.
func TestOpenAfterWriteFailed(t *testing.T) {
	c, _ := wireClient(t)
	for name, open := range map[string]func() error{
		"call": func() error {
			return c.Call(context.Background(), testService, "M", &KeyValue{}, &KeyValue{})
		},
		"stream": func() error {
			_, err := c.NewStream(context.Background(), &StreamDesc{}, testService, "S", &KeyValue{})
			return err
		},
	} {
		c.conn.mu.Lock()
		result := goErr(open)
		waitFor(t, "room for the request", func() bool {
			reserved, _ := c.conn.ch.w.room.load()
			return reserved > 0
		})
		c.conn.unsent = errors.New("broken") // Client.writeFailed
		c.conn.mu.Unlock()
		if err := within(t, name, result); err != ErrClosed {
			t.Errorf("%s: got %v, want ErrClosed", name, err)
		}
		if reserved, _ := c.conn.ch.w.room.load(); reserved != 0 || tableSize(c.conn) != 0 {
			t.Errorf("%s: %d bytes are taken, and %d streams are in the table", name, reserved, tableSize(c.conn))
		}
	}
}

// Calls and streams by many goroutines, some given up: the ids on the wire are odd
// and rise, and nobody blocks for good (18). A round is a call.
func TestRaceIDsRise(t *testing.T) {
	c, w := listenWire(t).connect(t, WithClientLimits(Limits{MaxPendingWrite: 1000}))
	answer := mustMarshal(&Response{Payload: mustMarshal(&KeyValue{Key: "k", Value: "x"})})
	read := goErr(func() error {
		defer w.Close() // nobody waits for the answers of one that has failed
		last := streamID(0)
		for {
			f, err := w.tryRead()
			if err != nil {
				return nil // the client has closed
			}
			if f.typ != messageTypeRequest {
				continue
			}
			if f.id <= last || !f.id.isClient() {
				return fmt.Errorf("id %d after %d", f.id, last)
			}
			last = f.id
			if err := w.tryWrite(header{id: f.id, typ: messageTypeResponse}, answer); err != nil {
				return nil
			}
		}
	})
	const callers = 32
	together(times(callers, func(i int) {
		rnd := rand.New(rand.NewSource(int64(i)))
		for n := rounds(2000) / callers; n >= 0; n-- {
			ctx, cancel := context.WithCancel(context.Background())
			switch rnd.Intn(4) {
			case 0:
				go cancel()
				if err := echo(ctx, c, "x"); err != nil && err != context.Canceled {
					t.Errorf("Call: %v", err)
				}
			case 1:
				cs, err := c.NewStream(ctx, &StreamDesc{StreamingClient: true, StreamingServer: true}, testService, "EchoStream", &KeyValue{})
				if err != nil {
					t.Errorf("NewStream: %v", err)
					break
				}
				if err := cs.SendMsg(&KeyValue{Value: strings.Repeat("x", rnd.Intn(500))}); err != nil && err != io.EOF {
					t.Errorf("SendMsg: %v", err)
				}
				if err := cs.RecvMsg(&KeyValue{}); err != nil {
					t.Errorf("RecvMsg: %v", err)
				}
			default:
				if err := echo(ctx, c, "x"); err != nil {
					t.Errorf("Call: %v", err)
				}
			}
			cancel()
		}
	})...)
	if n := tableSize(c.conn); n != 0 {
		t.Errorf("%d streams are left", n)
	}
	c.Close()
	if err := within(t, "reader", read); err != nil {
		t.Error(err)
	}
}

// An id is given and its request queued in one step: a goroutine with conn.mu never finds
// the one without the other (18).
func TestIDWithRequest(t *testing.T) {
	c, w := listenWire(t).connect(t)
	defer c.Close()
	go io.Copy(io.Discard, w)
	yield := func() {
		for i := 0; i < 100; i++ {
			runtime.Gosched()
		}
	}
	for round := 0; round < 20; round++ {
		var opened []<-chan error
		c.conn.mu.Lock()
		for i := 0; i < 4; i++ {
			opened = append(opened, goErr(func() error {
				_, err := c.NewStream(context.Background(), &StreamDesc{StreamingServer: true}, testService, "S", &KeyValue{})
				return err
			}))
		}
		yield() // until they wait for an id
		before := c.conn.lastID
		c.conn.ch.w.mu.Lock() // nothing is queued
		c.conn.mu.Unlock()
		for i := 0; i < 20; i++ {
			yield()
			if c.conn.mu.TryLock() {
				if id := c.conn.lastID; id != before {
					t.Errorf("id %d is given, and its request is not queued", id)
				}
				c.conn.mu.Unlock()
			}
		}
		c.conn.ch.w.mu.Unlock()
		for _, result := range opened {
			if err := within(t, "NewStream", result); err != nil {
				t.Error(err)
			}
		}
	}
}
