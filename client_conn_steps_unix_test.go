//go:build unix

package ttrpc

import (
	"errors"
	"io"
	"os"
	"testing"
)

// A failed write interrupts the goroutine that reads, which may be the leader of a call
// whose request is lost.
func TestWriteFailureInterruptsReading(t *testing.T) {
	c, w, _ := stoppedReader(t, heldByLeader)
	if _, err := w.Write([]byte{0}); err != nil { // a read would not wait
		t.Fatal(err)
	}
	c.writeFailed(io.ErrClosedPipe)
	if n, err := c.conn.ch.conn.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("read %d bytes, %v, want an interrupt", n, err)
	}
}
