//go:build go1.25 && unix

package ttrpc

import (
	"errors"
	"io"
	"testing"
)

// A server that goes away before it has read the acknowledgement ends the connection as any
// other server does.
func TestEndWithUnreadAcknowledgement(t *testing.T) {
	near, far := socketPair(t)
	c := NewClient(near)
	defer c.Close()
	w := newWire(far)
	result := goErr(func() error { return echo(testContext(t), c, "") })
	w.read()
	for _, f := range []rawFrame{settingsOf(defaultConnConfig.settings()), response(1, &KeyValue{Key: "k"})} {
		w.write(f.header(), f.body)
	}
	if err := within(t, "the call", result); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the acknowledgement to be written", func() bool { return c.conn.ch.w.progress.Load() == 2 })
	far.Close() // with the acknowledgement unread
	if err := endOf(t, c); !errors.Is(err, io.EOF) {
		t.Errorf("got %v", err)
	}
}
