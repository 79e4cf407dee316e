package ttrpc

import (
	"context"
	"errors"
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
