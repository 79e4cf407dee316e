//go:build !linux

package ttrpc

import "fmt"

// describePeer is for the log. The text of a handshaker's own type may be of the peer's
// choice.
func describePeer(peer any) string { return quoteName(fmt.Sprint(peer)) }
