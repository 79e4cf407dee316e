//go:build unix

package ttrpc

import (
	"io"
	"testing"
)

// A client that closes with a response unread resets the socket. It has closed the
// connection like any other client: ServeConn returns nil.
func TestServeConnReset(t *testing.T) {
	s := newServer(t, echoMethods(), usuallyBusy)
	ours, theirs := socketPair(t)
	served := goErr(func() error { return s.ServeConn(testContext(t), ours) })
	newWire(theirs).request(1, "Echo", 0, text("x"))
	if _, err := io.ReadFull(theirs, make([]byte, 1)); err != nil { // of the response
		t.Fatal(err)
	}
	theirs.Close()
	if err := within(t, "ServeConn", served); err != nil {
		t.Errorf("got %v, want nil", err)
	}
}
