package ttrpc

import (
	"errors"
	"fmt"

	"github.com/containerd/ttrpc/internal/frame"
)

// This file recognizes a peer that speaks another protocol by its first bytes, so that the
// log and the callers get more than an error about the first byte of a header.

// foreignProtocol returns the protocol of a connection's first bytes, or "" if it is ttrpc
// or unknown. fromServer is set if a server has sent the bytes.
func foreignProtocol(b []byte, fromServer bool) string { return frame.Foreign(b, fromServer) }

// foreignError ends a connection whose peer has never spoken ttrpc.
type foreignError struct{ protocolError }

func errForeign(format string, args ...any) error {
	return &foreignError{protocolError{text: fmt.Sprintf(format, args...)}}
}

// refusal returns the error of a call that could not be opened because of err. For
// ErrClosed on a connection whose peer has never spoken ttrpc it returns that reason:
// another try would be useless.
func (cn *conn) refusal(err error) error {
	if err != ErrClosed {
		return err
	}
	cn.mu.Lock()
	defer cn.mu.Unlock()
	var foreign *foreignError
	if errors.As(cn.err, &foreign) {
		return &connError{cause: foreign}
	}
	return err
}
