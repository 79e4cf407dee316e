//go:build !linux

package ttrpc

import "fmt"

// describePeer describes a handshaker's result for the log, quoted: the peer may have
// chosen the text.
func describePeer(peer any) string { return quoteName(fmt.Sprint(peer)) }
